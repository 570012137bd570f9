using System.Diagnostics;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.GpuCheck;

/// <summary>Times work as the device sees it: events around it on a GPU, a clock around it on a CPU.</summary>
internal static class Timing
{
    private const int WarmUps = 5;

    /// <summary>Milliseconds of the middle one of several runs; all ranks start each run together.</summary>
    public static double Median(Job job, int runs, Action work)
    {
        for (var i = 0; i < WarmUps; i++) work();
        var times = new double[runs];
        for (var i = 0; i < runs; i++)
        {
            job.World.Barrier();
            times[i] = job.IsCuda ? OnGpu(job.Device.index, work) : OnCpu(work);
        }

        Array.Sort(times);
        return times[runs / 2];
    }

    private static double OnGpu(int device, Action work)
    {
        var context = CudaContext.Of(device);
        using var start = CudaEvent.Create(context, timing: true);
        using var end = CudaEvent.Create(context, timing: true);
        var stream = TorchCuda.CurrentStream(device);
        start.Record(stream);
        work();
        end.Record(stream);
        end.Synchronize();
        return end.MillisecondsSince(start);
    }

    private static double OnCpu(Action work)
    {
        var clock = Stopwatch.StartNew();
        work();
        return clock.Elapsed.TotalMilliseconds;
    }
}
