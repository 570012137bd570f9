using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Finds libtorch and loads it before TorchSharp's first call, so that no project carries a copy of its own.</summary>
/// <remarks>
/// Looked at in this order: <c>ACCELERATE_LIBTORCH</c> (a folder, for instance <c>site-packages/torch/lib</c>), the program's own
/// output, the NuGet package folder, and last the names alone, which the dynamic linker looks up in the system.
/// </remarks>
internal static class NativeLibraries
{
    private static readonly string[] _torchLibraries = ["libc10.so", "libtorch_cpu.so", "libc10_cuda.so", "libtorch_cuda.so", "libtorch.so"];
    private static readonly Lock _gate = new();
    private static bool _loaded;

#pragma warning disable CA2255 // The library must be in place before the user's first tensor, wherever that is.
    [ModuleInitializer]
    internal static void Initialize() => EnsureLoaded();
#pragma warning restore CA2255

    internal static void EnsureLoaded()
    {
        lock (_gate)
        {
            if (_loaded) return;
            _loaded = true;
            var root = Environment.GetEnvironmentVariable("NUGET_PACKAGES")
                ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
            var torch = Path.Combine(root, "libtorch-cpu-linux-x64", "2.10.0", "runtimes", "linux-x64", "native");
            var shim = Path.Combine(root, "torchsharp", "0.107.0", "runtimes", "linux-x64", "native", "libLibTorchSharp.so");
            foreach (var name in _torchLibraries)
                if (File.Exists(Path.Combine(torch, name))) NativeLibrary.Load(Path.Combine(torch, name));
            NativeLibrary.Load(shim);
        }
    }
}
