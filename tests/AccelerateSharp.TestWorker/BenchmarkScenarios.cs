using System.Diagnostics;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Times, printed as tables on rank 0.</summary>
internal static class BenchmarkScenarios
{
    [Scenario]
    internal static void AllReduceBenchmark(WorkerContext context)
    {
        using var group = context.World();
        var rows = new List<string> { "| bytes | blocking, median | async + wait, median | GB/s (payload) |", "| ---: | ---: | ---: | ---: |" };
        Time(() => group.Barrier(), 300);
        rows.Add($"| barrier | {Time(group.Barrier, 500):0.000} ms | {Time(() => group.BarrierAsync().Wait(), 500):0.000} ms | |");
        foreach (var bytes in new[] { 4L, 1024, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20 })
        {
            using var x = ones(bytes / 4);
            var repeats = bytes <= 64 << 10 ? 400 : bytes <= 4 << 20 ? 40 : 12;
            var blocking = Time(() => group.AllReduce(x, ReduceOp.Avg), repeats);
            var async = Time(() => group.AllReduceAsync(x, ReduceOp.Avg).Wait(), repeats);
            rows.Add($"| {bytes} | {blocking:0.000} ms | {async:0.000} ms | {bytes / blocking / 1e6:0.00} |");
        }
        if (context.Rank == 0) Console.WriteLine(string.Join('\n', rows));
    }

    private static double Time(Action action, int repeats)
    {
        for (var i = 0; i < Math.Max(3, repeats / 10); i++) action();
        var times = new double[repeats];
        for (var i = 0; i < repeats; i++)
        {
            var start = Stopwatch.GetTimestamp();
            action();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        Array.Sort(times);
        return times[repeats / 2];
    }
}
