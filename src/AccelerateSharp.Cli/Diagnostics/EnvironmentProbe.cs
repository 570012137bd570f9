using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>Collects the report. Nothing that it looks for is loaded, except the driver's own library.</summary>
internal static class EnvironmentProbe
{
    /// <summary>Older kernels are known to leave processes hanging in collectives.</summary>
    private static readonly Version _oldestKernel = new(5, 5);

    /// <param name="configFile">The config file that the user named; null for the default one.</param>
    public static EnvironmentReport Collect(string? configFile)
    {
        var system = SystemProbe.Collect();
        var (gpus, driver) = GpuProbe.Collect();
        var libraries = LibraryProbe.Collect();
        return new EnvironmentReport
        {
            Versions = Versions(),
            System = system,
            Gpus = gpus,
            Driver = driver,
            Libraries = libraries,
            Config = Config(configFile),
            Variables = VariableProbe.Collect(),
            Warnings = [.. Warnings(system, gpus, libraries)],
        };
    }

    internal static string? KernelWarning(string kernel)
    {
        var numbers = new string([.. kernel.TakeWhile(c => char.IsAsciiDigit(c) || c == '.')]).Trim('.');
        return Version.TryParse(numbers, out var version) && version < _oldestKernel
            ? $"Kernel {kernel} is older than {_oldestKernel}: processes can hang in collective operations. Upgrade the kernel."
            : null;
    }

    private static IEnumerable<string> Warnings(SystemFacts system, IReadOnlyList<GpuFacts> gpus, IReadOnlyList<LibraryFacts> libraries)
    {
        if (OperatingSystem.IsLinux() && KernelWarning(system.Kernel) is { } kernel) yield return kernel;
        if (LibraryProbe.CxxWarning(libraries) is { } cxx) yield return cxx;
        if (gpus.Count > 0 && libraries.First(library => library.Name == LibraryProbe.Torch) is { Path: { } torch } && !LibraryProbe.HasCuda(torch))
            yield return "There are GPUs, but the libtorch that was found has no CUDA: programs will run on the CPU unless they bring a CUDA package of TorchSharp.";
    }

    private static VersionFacts Versions()
    {
        var version = typeof(EnvironmentProbe).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
        var root = DotnetRoot();
        return new VersionFacts(
            version.Split('+')[0], Environment.ProcessPath, !RuntimeFeature.IsDynamicCodeSupported, RuntimeInformation.FrameworkDescription,
            root, Names(root, "sdk"), Names(root, "shared", "Microsoft.NETCore.App"));
    }

    private static string? DotnetRoot()
    {
        var program = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host ? host : Launch.TargetResolver.OnPath("dotnet");
        if (program is null) return null;
        // Usually a link from /usr/bin into the installation.
        return Path.GetDirectoryName(File.ResolveLinkTarget(program, returnFinalTarget: true)?.FullName ?? program);
    }

    private static IReadOnlyList<string> Names(string? root, params string[] parts)
    {
        if (root is null) return [];
        var folder = Path.Combine([root, .. parts]);
        return Directory.Exists(folder)
            ? [.. Directory.EnumerateDirectories(folder).Select(path => Path.GetFileName(path)).Where(name => char.IsAsciiDigit(name[0])).Order(StringComparer.Ordinal)]
            : [];
    }

    private static ConfigFacts Config(string? named)
    {
        var path = named ?? ConfigLocation.Default();
        if (File.Exists(path)) return new ConfigFacts(path, File.ReadAllText(path));
        return named is null ? new ConfigFacts(path, null) : throw new UserErrorException($"--config_file {named}: there is no such file.");
    }
}
