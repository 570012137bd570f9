using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Makes libtorch available before its first use, and tells this assembly's native calls where their library is.</summary>
/// <remarks>
/// Looked at in this order: what the program has loaded already, <c>ACCELERATE_LIBTORCH</c> (a folder, for instance
/// <c>site-packages/torch/lib</c>), the program's own output, the NuGet package folder, and last the names alone, which the dynamic
/// linker looks up in the system.
/// </remarks>
internal static class NativeLibraries
{
    /// <summary>TorchSharp's own native library.</summary>
    internal const string TorchSharp = "LibTorchSharp";

    /// <summary>libtorch's library that every installation has, with or without CUDA.</summary>
    internal const string TorchCpu = "torch_cpu";

    /// <summary>libtorch's library for CUDA.</summary>
    internal const string TorchCuda = "torch_cuda";

    private static readonly Dictionary<string, nint> _handles = [];
    private static readonly Lock _gate = new();
    private static bool _tried;
    private static ExceptionDispatchInfo? _failure;

#pragma warning disable CA2255 // The library must be in place before the user's first tensor, wherever that is.
    [ModuleInitializer]
    internal static void Initialize()
    {
        NativeLibrary.SetDllImportResolver(Assembly.GetExecutingAssembly(), static (name, _, _) => Resolve(name));
        // An exception from here would reach the user as a failed type initializer: it waits for the first one who needs libtorch.
        TryLoad();
    }
#pragma warning restore CA2255

    /// <summary>Loads libtorch if that has not happened yet.</summary>
    /// <exception cref="DllNotFoundException">Lists every path that was tried, and why it did not do.</exception>
    internal static void EnsureLoaded()
    {
        TryLoad();
        _failure?.Throw();
    }

    /// <summary>From now on, native calls to <paramref name="library"/> go there: for libraries that others find and load.</summary>
    internal static void Register(string library, nint handle)
    {
        lock (_gate) _handles[library] = handle;
    }

    /// <summary>The address of a function that only some versions of a library have.</summary>
    internal static bool TryGetExport(string library, string name, out nint address)
    {
        address = 0;
        return Resolve(library) is var handle and not 0 && NativeLibrary.TryGetExport(handle, name, out address);
    }

    private static void TryLoad()
    {
        lock (_gate)
        {
            if (_tried) return;
            _tried = true;
            // Elsewhere TorchSharp's packages put the libraries where the runtime finds them.
            if (!OperatingSystem.IsLinux()) return;
            var loader = new NativeLoader(NativeSearch.Of(OutputFolders()));
            try
            {
                loader.Load();
            }
            catch (DllNotFoundException exception)
            {
                _failure = ExceptionDispatchInfo.Capture(exception);
            }
            foreach (var (name, handle) in loader.Handles) _handles[name] = handle;
        }
    }

    private static IReadOnlyList<string> OutputFolders()
    {
        var torchSharp = Path.GetDirectoryName(typeof(global::TorchSharp.torch).Assembly.Location);
        return torchSharp is null or "" || Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory) == torchSharp
            ? [AppContext.BaseDirectory]
            : [AppContext.BaseDirectory, torchSharp];
    }

    /// <summary>Zero for what is not known here: then the runtime looks for it in its own way.</summary>
    private static nint Resolve(string name)
    {
        lock (_gate)
        {
            // Also "libtorch_cuda.so" and "libnccl.so.2".
            if (name.StartsWith("lib", StringComparison.Ordinal)) name = name[3..];
            var suffix = name.IndexOf(".so", StringComparison.Ordinal);
            if (suffix > 0) name = name[..suffix];
            if (_handles.TryGetValue(name, out var handle)) return handle;
            if (name is TorchSharp or TorchCpu) _failure?.Throw();
            return 0;
        }
    }
}
