using System.Globalization;
using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>Bus bandwidth of an all-reduce: what each link carries, comparable between numbers of ranks.</summary>
internal static class Bandwidth
{
    private const int Runs = 21;

    public static void Measure(Job job, IEnumerable<long> megabytes)
    {
        job.Say("all-reduce     size      time  bus bandwidth");
        foreach (var size in megabytes)
        {
            using var buffer = ones(size << 18, device: job.Device);
            var milliseconds = Timing.Median(job, Runs, () => job.World.AllReduce(buffer));
            var bytes = (double)(size << 20);
            var bandwidth = bytes / (milliseconds / 1000) * 2 * (job.Size - 1) / job.Size / (1L << 30);
            job.Say(string.Create(CultureInfo.InvariantCulture, $"all-reduce {size,5} MB {milliseconds,7:0.000} ms {bandwidth,8:0.0} GiB/s"));
            if (job.Rank == 0) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"RESULT accelerate {size} {bandwidth:0.000}"));
        }
    }
}
