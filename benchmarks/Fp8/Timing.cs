using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.Fp8;

internal static class Timing
{
    /// <summary>Median milliseconds of one run, the device's work included; temporaries go after each.</summary>
    public static double Median(Device device, int runs, int repeats, Action action)
    {
        var times = new List<double>();
        for (var run = -2; run < runs; run++)
        {
            Wait(device);
            var started = Stopwatch.GetTimestamp();
            for (var i = 0; i < repeats; i++)
            {
                using var scope = NewDisposeScope();
                action();
            }

            Wait(device);
            if (run >= 0) times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds / repeats);
        }

        times.Sort();
        return times[times.Count / 2];
    }

    public static void Wait(Device device)
    {
        if (device.type == DeviceType.CUDA) cuda.synchronize(device);
    }
}
