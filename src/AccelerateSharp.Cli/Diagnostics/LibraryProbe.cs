using System.Text;
using AccelerateSharp.Cli.SelfTest;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>The native libraries of training programs: looked for where the library itself looks, and never loaded.</summary>
internal static class LibraryProbe
{
    public const string Torch = "libtorch";
    public const string Cxx = "C++ library";

    /// <summary>TorchSharp's native library is built with GCC 13.</summary>
    private const int CxxNeeded = 32;

    public static IReadOnlyList<LibraryFacts> Collect()
    {
        // The output folder of a program comes before the package folder; which program is meant, nobody has said.
        var search = NativeSearch.Of([]);
        return OperatingSystem.IsLinux()
            ? [FindTorch(search), FindShim(search), FindNccl(), FindGloo(), FindCxx()]
            : [new(Torch, null, search.LibTorchVersion, "the packages of TorchSharp bring it along into the program's output")];
    }

    public static bool HasCuda(string torch) => File.Exists(Path.Combine(Path.GetDirectoryName(torch)!, "libtorch_cuda.so"));

    public static string? CxxWarning(IReadOnlyList<LibraryFacts> libraries) =>
        libraries.FirstOrDefault(library => library.Name == Cxx) is { Path: { } path, Version: { } version } && Minor(version) < CxxNeeded
            ? $"{path} offers {version}, but TorchSharp needs GLIBCXX_3.4.{CxxNeeded} (GCC 13): Ubuntu 24.04, Debian 13 and Fedora 38 have it; on Debian 12 install libstdc++6 of Debian 13."
            : null;

    internal static LibraryFacts FindTorch(NativeSearch search)
    {
        var file = First(search.TorchFolders(), NativeSearch.TorchFile);
        if (file is null && string.IsNullOrEmpty(search.Override) && search.AsksSystem) file = SystemLibraries.Find(NativeSearch.TorchFile);
        if (file is not null) return new LibraryFacts(Torch, file, TorchVersion(file, search), HasCuda(file) ? "with CUDA" : "CPU only");
        return new LibraryFacts(Torch, null, null, string.IsNullOrEmpty(search.Override)
            ? $"needed: {search.LibTorchVersion}. A program finds it in its own output folder too; reference the package libtorch-cpu-{search.RuntimeIdentifier}, or set {NativeSearch.OverrideVariable} to the folder of {NativeSearch.TorchFile}"
            : $"{NativeSearch.OverrideVariable} is '{search.Override}', which holds no {NativeSearch.TorchFile}");
    }

    private static LibraryFacts FindShim(NativeSearch search)
    {
        var file = First(search.ShimFolders(), NativeSearch.ShimFile) ?? SystemLibraries.Find(NativeSearch.ShimFile);
        return new LibraryFacts("TorchSharp", file, file is null ? null : search.TorchSharpVersion, file is null ? $"part of the package TorchSharp {search.TorchSharpVersion}" : null);
    }

    private static LibraryFacts FindNccl()
    {
        foreach (var candidate in NcclSearch.Candidates())
        {
            var file = Path.IsPathRooted(candidate) ? (File.Exists(candidate) ? candidate : null) : SystemLibraries.Find(candidate);
            if (file is not null) return new LibraryFacts("NCCL", file, VersionInName(file), null);
        }
        return new LibraryFacts("NCCL", null, null, $"needed for several GPUs; set {NcclSearch.OverrideVariable} to the folder of {NcclSearch.File} where it is not found");
    }

    private static LibraryFacts FindGloo()
    {
        var carried = Path.Combine(Path.GetDirectoryName(SelfTestRun.Program)!, "libaccelerate_gloo.so");
        if (!File.Exists(carried)) return new LibraryFacts("Gloo", null, null, "needed for several processes on CPUs; this build of AccelerateSharp has none (cmake, g++ and libgloo-dev build it)");
        return new LibraryFacts("Gloo", carried, null, "part of the package AccelerateSharp");
    }

    private static LibraryFacts FindCxx()
    {
        var file = SystemLibraries.Find("libstdc++.so.6");
        return new LibraryFacts(Cxx, file, file is null ? null : NewestGlibcxx(file), null);
    }

    private static string? First(IEnumerable<string> folders, string file) =>
        folders.Select(folder => Path.GetFullPath(Path.Combine(folder, file))).FirstOrDefault(File.Exists);

    /// <summary>Of a package its folder's name, of a PyTorch installation what its version.py says.</summary>
    private static string? TorchVersion(string file, NativeSearch search)
    {
        var folder = Path.GetDirectoryName(file)!;
        if (folder.StartsWith(search.PackageFolder, StringComparison.Ordinal)) return search.LibTorchVersion;
        var python = Path.Combine(folder, "..", "version.py");
        var line = File.Exists(python) ? File.ReadLines(python).FirstOrDefault(line => line.StartsWith("__version__", StringComparison.Ordinal)) : null;
        var release = Path.Combine(folder, "..", "build-version");
        return line?.Split('=')[1].Trim(' ', '\'', '"') ?? (File.Exists(release) ? File.ReadLines(release).FirstOrDefault() : null);
    }

    /// <summary>"libnccl.so.2" is usually a link to "libnccl.so.2.27.7".</summary>
    private static string? VersionInName(string file)
    {
        var name = Path.GetFileName(File.ResolveLinkTarget(file, returnFinalTarget: true)?.FullName ?? file);
        var at = name.IndexOf(".so.", StringComparison.Ordinal);
        return at > 0 && name[(at + 4)..].Contains('.', StringComparison.Ordinal) ? name[(at + 4)..] : null;
    }

    /// <summary>The newest symbol version that a C++ library defines, as its text has it.</summary>
    internal static string? NewestGlibcxx(string file)
    {
        ReadOnlySpan<byte> bytes = File.ReadAllBytes(file), prefix = "GLIBCXX_3.4."u8;
        var newest = -1;
        for (int at; (at = bytes.IndexOf(prefix)) >= 0;)
        {
            bytes = bytes[(at + prefix.Length)..];
            var end = bytes.IndexOfAnyExceptInRange((byte)'0', (byte)'9');
            if (end > 0 && int.TryParse(Encoding.ASCII.GetString(bytes[..end]), out var minor)) newest = Math.Max(newest, minor);
        }
        return newest < 0 ? null : $"GLIBCXX_3.4.{newest}";
    }

    private static int Minor(string version) => int.Parse(version[(version.LastIndexOf('.') + 1)..], System.Globalization.CultureInfo.InvariantCulture);
}
