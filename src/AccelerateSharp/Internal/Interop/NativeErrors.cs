using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>TorchSharp's native calls leave the text of a C++ exception behind, per thread; it must be asked for after the call.</summary>
internal static partial class NativeErrors
{
    internal static void Check()
    {
        var text = THSTorch_get_and_reset_last_err();
        if (text != 0) throw new ExternalException(Marshal.PtrToStringUTF8(text));
    }

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial nint THSTorch_get_and_reset_last_err();
}
