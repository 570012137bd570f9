using System.Runtime.CompilerServices;

namespace AccelerateSharp.Models.Tests;

/// <summary>
/// Lets AccelerateSharp find libtorch before a test touches TorchSharp. TorchSharp alone, without natives in the output, would copy
/// them there from the package folder.
/// </summary>
internal static class NativeLibrariesFirst
{
    [ModuleInitializer]
    internal static void Load() => RuntimeHelpers.RunModuleConstructor(typeof(AccelerateSharp.Internal.Interop.NativeLibraries).Module.ModuleHandle);
}
