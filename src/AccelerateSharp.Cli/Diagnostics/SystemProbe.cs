using System.Globalization;
using System.Runtime.InteropServices;
using AccelerateSharp.Cli.Launch;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>Operating system, processor and memory, from the kernel's files where there are any.</summary>
internal static class SystemProbe
{
    public static SystemFacts Collect()
    {
        var memory = Fields("/proc/meminfo", ':');
        var limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return new SystemFacts(
            Fields("/etc/os-release", '=').GetValueOrDefault("PRETTY_NAME")?.Trim('"') ?? RuntimeInformation.OSDescription,
            ReadLine("/proc/sys/kernel/osrelease") ?? Environment.OSVersion.Version.ToString(),
            RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant(),
            Fields("/proc/cpuinfo", ':').GetValueOrDefault("model name") ?? "unknown",
            Hardware.PhysicalCoreCount(), Environment.ProcessorCount,
            Kilobytes(memory, "MemTotal") ?? limit, Kilobytes(memory, "MemAvailable") ?? limit, limit);
    }

    private static string? ReadLine(string path) => File.Exists(path) ? File.ReadLines(path).FirstOrDefault()?.Trim() : null;

    /// <summary>Lines of a name, a separator and a value; of equal names the first counts.</summary>
    private static Dictionary<string, string> Fields(string path, char separator)
    {
        var fields = new Dictionary<string, string>();
        if (!File.Exists(path)) return fields;
        foreach (var line in File.ReadLines(path))
        {
            var at = line.IndexOf(separator, StringComparison.Ordinal);
            if (at > 0) fields.TryAdd(line[..at].Trim(), line[(at + 1)..].Trim());
        }
        return fields;
    }

    private static long? Kilobytes(Dictionary<string, string> fields, string name) =>
        fields.TryGetValue(name, out var text) && long.TryParse(text.Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var kilobytes)
            ? kilobytes * 1024
            : null;
}
