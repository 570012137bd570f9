using System.Runtime.CompilerServices;

namespace AccelerateSharp.TestWorker;

/// <summary>Lets AccelerateSharp find libtorch before a scenario touches TorchSharp, which would otherwise copy it into the output.</summary>
internal static class NativeLibrariesFirst
{
    [ModuleInitializer]
    internal static void Load() => RuntimeHelpers.RunModuleConstructor(typeof(Accelerator).Module.ModuleHandle);
}
