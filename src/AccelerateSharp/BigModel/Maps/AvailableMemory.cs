using System.Globalization;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>What memory there is, and a user's limits in order.</summary>
internal static class AvailableMemory
{
    /// <summary>Free memory of every GPU, and what the host has to give.</summary>
    public static MaxMemory Measure()
    {
        var memory = new MaxMemory();
        if (cuda_is_available())
        {
            for (var i = 0; i < cuda.device_count(); i++)
            {
                try
                {
                    memory[i] = CudaContext.Of(i).MemoryInfo().Free;
                }
                catch (CudaException error)
                {
                    Notices.Say($"GPU {i} gives no memory and is passed over: {error.Message}");
                }
            }
        }
        memory[Placement.Cpu] = Host();
        return memory;
    }

    /// <summary>The limits in the order in which devices are filled. A GPU that is not there is told.</summary>
    public static MaxMemory Normalize(MaxMemory? given)
    {
        if (given is null) return Measure();
        if (given.FirstOrDefault(entry => entry.Value.Bytes < 0) is { Value.Bytes: < 0 } negative)
            throw new ArgumentException($"maxMemory[{negative.Key}] is {negative.Value} bytes; it cannot be negative.", nameof(given));
        return new MaxMemory(given.OrderBy(entry => entry.Key));
    }

    private static long Host()
    {
        // What the runtime knows includes a container's limit; what Linux says is free at this moment.
        var limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (!OperatingSystem.IsLinux()) return limit;
        var line = File.ReadLines("/proc/meminfo").FirstOrDefault(line => line.StartsWith("MemAvailable:", StringComparison.Ordinal));
        return line is not null && long.TryParse(line.AsSpan(13).Trim().TrimEnd("kB").Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var kibibytes)
            ? Math.Min(limit, kibibytes << 10)
            : limit;
    }
}
