using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Affinity;

/// <summary>Which CPUs and GPUs lie close together, as the kernel tells in files.</summary>
/// <param name="root">Where <c>sys</c> and <c>proc</c> are.</param>
internal sealed class NumaTopology(string root = "/")
{
    /// <summary>The CPUs of each node that has any, by its number.</summary>
    public SortedDictionary<int, CpuSet> Nodes()
    {
        var nodes = new SortedDictionary<int, CpuSet>();
        var folder = Path.Combine(root, "sys/devices/system/node");
        if (!Directory.Exists(folder)) return nodes;
        foreach (var node in Directory.EnumerateDirectories(folder, "node*"))
        {
            if (!int.TryParse(Path.GetFileName(node).AsSpan("node".Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number)) continue;
            var cpus = CpuSet.Parse(File.ReadAllText(Path.Combine(node, "cpulist")));
            if (!cpus.IsEmpty) nodes.Add(number, cpus);
        }
        return nodes;
    }

    /// <summary>The GPUs that a worker sees, in the order in which it counts them.</summary>
    /// <param name="visible"><c>CUDA_VISIBLE_DEVICES</c>; null for all.</param>
    public List<string> Gpus(string? visible)
    {
        var folder = Path.Combine(root, "proc/driver/nvidia/gpus");
        if (!Directory.Exists(folder)) return [];
        // By PCI address, which is CUDA's order where all GPUs are alike.
        var all = Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal).ToList();
        if (visible is null) return [.. all.Select(gpu => Path.GetFileName(gpu))];
        var seen = new List<string>();
        foreach (var id in visible.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var gpu = int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var index)
                ? all.ElementAtOrDefault(index)
                : all.Find(path => UuidOf(path) is { } uuid && uuid.StartsWith(id, StringComparison.OrdinalIgnoreCase));
            // CUDA, too, sees nothing from the first unknown one on.
            if (gpu is null) break;
            seen.Add(Path.GetFileName(gpu));
        }
        return seen;
    }

    /// <summary>The node next to a GPU; null where the machine does not tell.</summary>
    public int? NodeOf(string pciAddress)
    {
        var file = Path.Combine(root, "sys/bus/pci/devices", pciAddress, "numa_node");
        return File.Exists(file) && int.TryParse(File.ReadAllText(file).Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var node) && node >= 0 ? node : null;
    }

    private static string? UuidOf(string gpu)
    {
        var file = Path.Combine(gpu, "information");
        return !File.Exists(file) ? null
            : File.ReadLines(file).FirstOrDefault(line => line.StartsWith("GPU UUID:", StringComparison.Ordinal))?["GPU UUID:".Length..].Trim();
    }
}
