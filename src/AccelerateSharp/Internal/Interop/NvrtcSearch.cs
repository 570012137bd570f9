namespace AccelerateSharp.Internal.Interop;

/// <summary>The places where NVIDIA's run-time compiler may lie, in the order in which they are looked at.</summary>
/// <remarks>
/// <c>ACCELERATE_NVRTC</c> (the file or its folder), beside libtorch, NVIDIA's packages in a PyTorch installation, the CUDA toolkit
/// (<c>CUDA_HOME</c>, <c>/usr/local/cuda</c>), and last the names that the dynamic linker may know.
/// </remarks>
internal static class NvrtcSearch
{
    internal const string OverrideVariable = "ACCELERATE_NVRTC";

    /// <summary>Toolkits whose compiler knows float8.</summary>
    private static readonly string[] _versions = ["13", "12"];

    internal static IEnumerable<string> Candidates() => Candidates(
        Environment.GetEnvironmentVariable(OverrideVariable), TorchFolders(), Environment.GetEnvironmentVariable("CUDA_HOME"));

    /// <summary>Where the library may lie, given the settings and libtorch's folders.</summary>
    internal static IEnumerable<string> Candidates(string? nvrtc, IEnumerable<string> torchFolders, string? cudaHome)
    {
        if (!string.IsNullOrEmpty(nvrtc)) return nvrtc.Contains(".so", StringComparison.Ordinal) ? [nvrtc] : FilesIn(nvrtc);
        var folders = torchFolders.SelectMany(folder => NativeSearch.NvidiaFolders(folder).Prepend(folder))
            .Append(string.IsNullOrEmpty(cudaHome) ? "/usr/local/cuda/lib64" : Path.Combine(cudaHome, "lib64"));
        return [.. folders.Distinct().SelectMany(FilesIn), .. _versions.Select(version => $"libnvrtc.so.{version}"), "libnvrtc.so"];
    }

    private static IEnumerable<string> TorchFolders() =>
        NativeSearch.Of([AppContext.BaseDirectory]).TorchFolders().Where(Directory.Exists);

    /// <summary>Also <c>libnvrtc-hash.so.12</c>, as libtorch's own packages call it; not the library of its built-in functions.</summary>
    private static IEnumerable<string> FilesIn(string folder) => Directory.Exists(folder)
        ? Directory.EnumerateFiles(folder, "libnvrtc*.so*")
            .Where(file => !file.Contains("builtins", StringComparison.Ordinal) && !file.Contains(".alt.", StringComparison.Ordinal))
            .OrderDescending(StringComparer.Ordinal)
        : [];
}
