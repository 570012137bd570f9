using System.Reflection;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The places where libtorch and TorchSharp's native library may lie, in the order in which they are looked at.</summary>
/// <remarks>The library loads what is found there; the command line only looks.</remarks>
internal sealed record NativeSearch
{
    /// <summary>The variable with which a user names a libtorch, for instance the one inside a PyTorch installation.</summary>
    internal const string OverrideVariable = "ACCELERATE_LIBTORCH";

    internal const string TorchFile = "libtorch_cpu.so";

    internal const string ShimFile = "libLibTorchSharp.so";

    /// <summary>The value of <see cref="OverrideVariable"/>; null or empty when it is not set.</summary>
    internal string? Override { get; init; }

    /// <summary>Where the program's own files are.</summary>
    internal required IReadOnlyList<string> OutputFolders { get; init; }

    /// <summary>NuGet's folder of restored packages.</summary>
    internal required string PackageFolder { get; init; }

    /// <summary>Versions of the packages that this library was built against.</summary>
    internal required string LibTorchVersion { get; init; }

    /// <inheritdoc cref="LibTorchVersion"/>
    internal required string TorchSharpVersion { get; init; }

    /// <summary>Whether the dynamic linker is asked at the end, which knows the system's libraries and its own search path.</summary>
    internal bool AsksSystem { get; init; } = true;

    internal string RuntimeIdentifier { get; init; } = $"linux-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";

    /// <summary>The search as this process' environment sets it.</summary>
    /// <param name="outputFolders">Where the program's own files are.</param>
    internal static NativeSearch Of(IReadOnlyList<string> outputFolders)
    {
        var packages = Environment.GetEnvironmentVariable("NUGET_PACKAGES");
        return new NativeSearch
        {
            Override = Environment.GetEnvironmentVariable(OverrideVariable),
            OutputFolders = outputFolders,
            PackageFolder = string.IsNullOrEmpty(packages)
                ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages")
                : packages,
            LibTorchVersion = Metadata(nameof(LibTorchVersion)),
            TorchSharpVersion = Metadata(nameof(TorchSharpVersion)),
        };
    }

    /// <summary>Folders for libtorch. One that the user named is the only one: a fallback would hide that it is wrong.</summary>
    internal IEnumerable<string> TorchFolders()
    {
        if (!string.IsNullOrEmpty(Override))
            return [Override, Path.Combine(Override, "lib"), Path.Combine(Override, "torch", "lib")];
        return [.. Output(), Native($"libtorch-cpu-{RuntimeIdentifier}", LibTorchVersion)];
    }

    /// <summary>Folders for TorchSharp's own library, which a libtorch that the user named does not bring along.</summary>
    internal IEnumerable<string> ShimFolders() => [.. Output(), Native("torchsharp", TorchSharpVersion)];

    /// <summary>In a PyTorch installation, the folders of NVIDIA's packages beside it, which hold cuBLAS, cuDNN, NCCL and so on.</summary>
    internal static IReadOnlyList<string> NvidiaFolders(string torchFolder)
    {
        var nvidia = Path.GetFullPath(Path.Combine(torchFolder, "..", "..", "nvidia"));
        if (!Directory.Exists(nvidia)) return [];
        return [.. Directory.EnumerateDirectories(nvidia, "lib", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
    }

    private IEnumerable<string> Output() =>
        OutputFolders.SelectMany(folder => new[] { folder, Path.Combine(folder, "runtimes", RuntimeIdentifier, "native") });

    private string Native(string package, string version) => Path.Combine(PackageFolder, package, version, "runtimes", RuntimeIdentifier, "native");

    private static string Metadata(string key) =>
        typeof(NativeSearch).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(attribute => attribute.Key == key).Value!;
}
