using System.Globalization;
using System.Text;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>The report as text that can be pasted into an issue.</summary>
internal static class EnvironmentText
{
    private const int Column = 18;

    public static string Of(EnvironmentReport report)
    {
        var text = new StringBuilder();
        Versions(text, report.Versions);
        System(text, report.System);
        foreach (var gpu in report.Gpus) Gpu(text, gpu);
        Line(text, "NVIDIA driver", report.Driver.Version is { } driver
            ? $"{driver}{(report.Driver.Cuda is { } cuda ? $", runs CUDA up to {cuda}" : "")} (from {report.Driver.Source})"
            : "none found");
        foreach (var library in report.Libraries) Library(text, library);
        Config(text, report.Config);
        Line(text, "Variables", report.Variables.Count == 0 ? "none that matter" : "");
        foreach (var (name, value) in report.Variables) text.AppendLine($"    {name}={value}");
        foreach (var warning in report.Warnings) text.AppendLine($"Warning: {warning}");
        return text.ToString();
    }

    private static void Versions(StringBuilder text, VersionFacts versions)
    {
        Line(text, "AccelerateSharp", versions.AccelerateSharp);
        Line(text, "accelerate", $"{versions.Tool} ({(versions.IsCompiledAheadOfTime ? "compiled ahead of time with" : "on")} {versions.Runtime})");
        Line(text, ".NET", versions.DotnetRoot is null
            ? "no dotnet on the PATH"
            : $"SDK {Join(versions.Sdks)}; runtime {Join(versions.Runtimes)}; in {versions.DotnetRoot}");
    }

    private static void System(StringBuilder text, SystemFacts system)
    {
        Line(text, "System", $"{system.Name}, kernel {system.Kernel}, {system.Architecture}");
        Line(text, "CPU", $"{system.Cpu}, {system.PhysicalCores} core(s), {system.LogicalCores} thread(s)");
        var limit = system.MemoryLimit < system.MemoryTotal ? $", limited to {Gigabytes(system.MemoryLimit)}" : "";
        Line(text, "Memory", $"{Gigabytes(system.MemoryTotal)}, {Gigabytes(system.MemoryAvailable)} available{limit}");
    }

    private static void Gpu(StringBuilder text, GpuFacts gpu)
    {
        var memory = gpu is { MemoryTotal: { } total, MemoryFree: { } free } ? $", {Gigabytes(total)}, {Gigabytes(free)} free" : "";
        Line(text, $"GPU {gpu.Index}", $"{gpu.Name}{memory}{(gpu.ComputeCapability is { } capability ? $", compute capability {capability}" : "")}");
    }

    private static void Library(StringBuilder text, LibraryFacts library)
    {
        var found = library.Path is null ? "not found" : library.Version is null ? library.Path : $"{library.Version}, {library.Path}";
        Line(text, library.Name, library.Note is null ? found : $"{found} ({library.Note})");
    }

    private static void Config(StringBuilder text, ConfigFacts config)
    {
        Line(text, "Config", config.Content is null ? $"none ({config.Path} does not exist)" : config.Path);
        if (config.Content is null) return;
        foreach (var line in config.Content.TrimEnd().Split('\n')) text.AppendLine("    " + line.TrimEnd());
    }

    private static void Line(StringBuilder text, string name, string value) => text.AppendLine($"{(name + ":").PadRight(Column)}{value}".TrimEnd());

    private static string Join(IReadOnlyList<string> versions) => versions.Count == 0 ? "none" : string.Join(", ", versions);

    private static string Gigabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.00} GB");
}
