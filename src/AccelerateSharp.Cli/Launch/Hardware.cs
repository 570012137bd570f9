using System.Globalization;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What this machine has, read from files: no CUDA is loaded to count GPUs.</summary>
internal static class Hardware
{
    /// <summary>The number of NVIDIA GPUs that a worker would see.</summary>
    public static int GpuCount()
    {
        var present = Count("/proc/driver/nvidia/gpus", "*");
        // In a container the devices may be fewer than the driver lists.
        var devices = Directory.Exists("/dev")
            ? Directory.EnumerateFileSystemEntries("/dev", "nvidia*").Count(path => int.TryParse(path.AsSpan("/dev/nvidia".Length), NumberStyles.None, CultureInfo.InvariantCulture, out _))
            : 0;
        var count = present > 0 && devices > 0 ? Math.Min(present, devices) : present;
        return Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } visible
            ? Math.Min(count, visible.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).TakeWhile(id => id != "-1").Count())
            : count;
    }

    /// <summary>The number of physical cores that this process may use: not its hyper-threads.</summary>
    public static int PhysicalCoreCount()
    {
        const string Cpus = "/sys/devices/system/cpu";
        var cores = new HashSet<(string Package, string Core)>();
        if (Directory.Exists(Cpus))
        {
            foreach (var cpu in Directory.EnumerateDirectories(Cpus, "cpu*"))
            {
                var core = Path.Combine(cpu, "topology", "core_id");
                var package = Path.Combine(cpu, "topology", "physical_package_id");
                if (File.Exists(core) && File.Exists(package)) cores.Add((File.ReadAllText(package), File.ReadAllText(core)));
            }
        }
        // The limits of the container and the affinity of this process count too.
        return cores.Count == 0 ? Environment.ProcessorCount : Math.Min(cores.Count, Environment.ProcessorCount);
    }

    private static int Count(string folder, string pattern) =>
        Directory.Exists(folder) ? Directory.EnumerateDirectories(folder, pattern).Count() : 0;
}
