namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>NVIDIA's GPUs and driver: from NVML where the driver brings it, else from the driver's files.</summary>
internal static class GpuProbe
{
    private const string DriverFiles = "/proc/driver/nvidia";

    public static (IReadOnlyList<GpuFacts> Gpus, DriverFacts Driver) Collect()
    {
        using var nvml = Nvml.TryOpen(out var whyNot);
        return nvml is not null ? (nvml.Gpus(), nvml.Driver()) : (FromFiles(), new DriverFacts(DriverVersion(), null, $"{DriverFiles} ({whyNot})"));
    }

    private static IReadOnlyList<GpuFacts> FromFiles()
    {
        var folder = Path.Combine(DriverFiles, "gpus");
        if (!Directory.Exists(folder)) return [];
        return [.. Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal).Select((gpu, index) =>
            new GpuFacts(index, Field(gpu, "Model") ?? "unknown", null, null, null, Field(gpu, "GPU UUID")))];
    }

    private static string? Field(string gpu, string name)
    {
        var file = Path.Combine(gpu, "information");
        var line = File.Exists(file) ? File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name + ":", StringComparison.Ordinal)) : null;
        return line?[(name.Length + 1)..].Trim();
    }

    /// <summary>"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  …": the first word that is a version.</summary>
    private static string? DriverVersion()
    {
        var file = Path.Combine(DriverFiles, "version");
        if (!File.Exists(file)) return null;
        var words = File.ReadLines(file).FirstOrDefault()?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return words.FirstOrDefault(word => word.Contains('.', StringComparison.Ordinal) && Version.TryParse(word, out _));
    }
}
