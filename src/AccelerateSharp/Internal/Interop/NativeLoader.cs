using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Loads libtorch and TorchSharp's native library from the first place that has them, and remembers what it tried.</summary>
internal sealed partial class NativeLoader(NativeSearch search)
{
    /// <summary>In the order of their dependencies. The CUDA ones are there only in a libtorch with CUDA.</summary>
    private static readonly string[] _torchFiles = ["libc10.so", NativeSearch.TorchFile, "libc10_cuda.so", "libtorch_cuda.so", "libtorch.so"];

    private readonly List<string> _attempts = [];

    /// <summary>Handles by the name in <c>LibraryImport</c>: the file's, without "lib" and ".so".</summary>
    internal Dictionary<string, nint> Handles { get; } = [];

    /// <exception cref="DllNotFoundException">Lists every path that was tried, and why it did not do.</exception>
    internal void Load()
    {
        // What the program has loaded by itself stays: a second libtorch in one process ends it.
        var loadedTorch = LoadedPath(NativeSearch.TorchFile);
        if (loadedTorch is not null) LoadTorch(Path.GetDirectoryName(loadedTorch)!);
        else LoadFirstTorch();

        if (LoadedPath(NativeSearch.ShimFile) is { } loadedShim) LoadFile(loadedShim, []);
        else LoadFirstShim();
    }

    /// <summary>The first of the folders that has the file; the others are noted.</summary>
    internal string? FindFolder(IEnumerable<string> folders, string file)
    {
        foreach (var folder in folders)
        {
            if (File.Exists(Path.Combine(folder, file))) return folder;
            _attempts.Add($"{Path.Combine(folder, file)}: no such file");
        }
        return null;
    }

    internal void LoadFirstTorch()
    {
        if (FindFolder(search.TorchFolders(), NativeSearch.TorchFile) is { } folder)
        {
            LoadTorch(folder);
            return;
        }
        if (!string.IsNullOrEmpty(search.Override))
            throw Failure($"{NativeSearch.OverrideVariable} is '{search.Override}', which holds no libtorch. Set it to the folder of {NativeSearch.TorchFile}, in PyTorch 'site-packages/torch/lib', or unset it.");
        foreach (var file in _torchFiles) TryLoadFromSystem(file);
        if (!Handles.ContainsKey(NameOf(NativeSearch.TorchFile)))
            throw Failure($"libtorch was not found. Reference the package 'libtorch-cpu-{search.RuntimeIdentifier}' (version {search.LibTorchVersion}) or one of TorchSharp's CUDA packages, or set {NativeSearch.OverrideVariable} to the folder of {NativeSearch.TorchFile}, for instance 'site-packages/torch/lib' of a PyTorch installation.");
    }

    private void LoadTorch(string folder)
    {
        var nvidia = NativeSearch.NvidiaFolders(folder);
        foreach (var file in _torchFiles)
            if (File.Exists(Path.Combine(folder, file))) LoadFile(Path.Combine(folder, file), nvidia);
    }

    internal void LoadFirstShim()
    {
        if (FindFolder(search.ShimFolders(), NativeSearch.ShimFile) is { } folder)
        {
            LoadFile(Path.Combine(folder, NativeSearch.ShimFile), []);
            return;
        }
        if (!TryLoadFromSystem(NativeSearch.ShimFile))
            throw Failure($"TorchSharp's native library was not found. It is part of the package 'TorchSharp' (version {search.TorchSharpVersion}).");
    }

    private bool TryLoadFromSystem(string file)
    {
        if (!search.AsksSystem) return false;
        if (NativeLibrary.TryLoad(file, out var handle))
        {
            Handles[NameOf(file)] = handle;
            return true;
        }
        _attempts.Add($"{file}: not known to the dynamic linker");
        return false;
    }

    private void LoadFile(string path, IReadOnlyList<string> dependencyFolders)
    {
        try
        {
            Handles[NameOf(path)] = LoadWithDependencies(path, dependencyFolders, []);
            _attempts.Add($"{path}: loaded");
        }
        catch (DllNotFoundException exception)
        {
            _attempts.Add($"{path}: {Reason(exception)}");
            throw Failure($"{Path.GetFileName(path)} could not be loaded.", exception);
        }
    }

    /// <summary>Loads by full path what the dynamic linker misses, so that nobody has to set its search path.</summary>
    private static nint LoadWithDependencies(string path, IReadOnlyList<string> folders, HashSet<string> pending)
    {
        while (true)
        {
            try
            {
                return NativeLibrary.Load(path);
            }
            catch (DllNotFoundException exception)
            {
                var missing = MissingLibrary().Match(exception.Message);
                if (!missing.Success || !pending.Add(missing.Value)) throw;
                var found = folders.Select(folder => Path.Combine(folder, missing.Value)).FirstOrDefault(File.Exists);
                if (found is null) throw;
                LoadWithDependencies(found, folders, pending);
            }
        }
    }

    internal DllNotFoundException Failure(string message, Exception? cause = null)
    {
        var text = new StringBuilder(message);
        if (cause is not null && cause.Message.Contains("GLIBCXX", StringComparison.Ordinal))
            text.Append(" It needs the C++ library of GCC 13 or later: Ubuntu 24.04, Debian 13 and Fedora 38 have it; on Debian 12 install the package libstdc++6 of Debian 13.");
        text.AppendLine().Append("Tried, in this order:");
        foreach (var attempt in _attempts) text.AppendLine().Append("  ").Append(attempt);
        return new DllNotFoundException(text.ToString(), cause);
    }

    /// <summary>The dynamic linker's own words: the last lines, after the runtime's advice.</summary>
    private static string Reason(DllNotFoundException exception) =>
        exception.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault() ?? exception.Message;

    private static string NameOf(string path) => Path.GetFileName(path)[3..^3];

    /// <summary>Where the process has mapped a library from; null if it has not.</summary>
    private static string? LoadedPath(string file)
    {
        foreach (var line in File.ReadLines("/proc/self/maps"))
        {
            var slash = line.IndexOf('/', StringComparison.Ordinal);
            if (slash >= 0 && line.EndsWith($"/{file}", StringComparison.Ordinal)) return line[slash..];
        }
        return null;
    }

    [GeneratedRegex(@"[\w.+-]+\.so[\w.]*(?=: cannot open shared object file)")]
    private static partial Regex MissingLibrary();
}
