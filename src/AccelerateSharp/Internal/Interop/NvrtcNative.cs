using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>NVIDIA's run-time compiler under its exact C names. Its file has the toolkit's version in its name: <see cref="Nvrtc"/> finds it.</summary>
internal static unsafe partial class NvrtcNative
{
    /// <summary>The name under which <see cref="Nvrtc"/> registers what it found.</summary>
    internal const string Library = "nvrtc";

    [LibraryImport(Library)]
    internal static partial int nvrtcVersion(out int major, out int minor);

    [LibraryImport(Library)]
    internal static partial nint nvrtcGetErrorString(int result);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int nvrtcCreateProgram(out nint program, string source, string name, int headers, nint headerSources, nint headerNames);

    [LibraryImport(Library)]
    internal static partial int nvrtcCompileProgram(nint program, int options, nint* optionTexts);

    [LibraryImport(Library)]
    internal static partial int nvrtcGetCUBINSize(nint program, out nuint size);

    [LibraryImport(Library)]
    internal static partial int nvrtcGetCUBIN(nint program, byte* cubin);

    [LibraryImport(Library)]
    internal static partial int nvrtcGetProgramLogSize(nint program, out nuint size);

    [LibraryImport(Library)]
    internal static partial int nvrtcGetProgramLog(nint program, byte* log);

    [LibraryImport(Library)]
    internal static partial int nvrtcDestroyProgram(ref nint program);
}
