using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Looks behind a module: its native object, and whether that one has parameters of its own.</summary>
/// <remarks>Derives from the module class only because the type of its handle is visible to derived classes alone.</remarks>
internal abstract class NativeModule : nn.Module
{
    private NativeModule() : base(nameof(NativeModule))
    {
    }

    /// <summary>The handle of the native module object.</summary>
    internal static SafeHandle Handle(nn.Module module) => HandleField(module);

    /// <summary>Whether the module computes in native code, with parameters that are registered there.</summary>
    internal static bool HasNativeParameters(nn.Module module)
    {
        if (HandleField(module).IsInvalid) return false;
        var parameters = NamedParameters(module);
        foreach (var (_, parameter) in parameters) parameter.Dispose();
        return parameters.Length > 0;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "handle")]
    private static extern ref HType HandleField(nn.Module module);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "_named_parameters")]
    private static extern (string Name, Parameter Parameter)[] NamedParameters(nn.Module module);
}
