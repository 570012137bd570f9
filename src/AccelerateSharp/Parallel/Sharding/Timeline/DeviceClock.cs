using System.Diagnostics;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding.Timeline;

/// <summary>Tells when a device comes to a point of its work, without waiting for it; on CPUs, when this thread does.</summary>
internal sealed class DeviceClock : IDisposable
{
    private readonly List<CudaEvent> _events = [];
    private readonly Lock _gate = new();
    private readonly SideStream? _side;
    private readonly int _device;
    private readonly TimePoint _zero;

    public DeviceClock(Device device)
    {
        _device = Math.Max(device.index, 0);
        _side = SideStream.Of(device);
        IsHost = device.type != DeviceType.CUDA;
        _zero = Now();
    }

    /// <summary>Whether times are the host's.</summary>
    public bool IsHost { get; }

    /// <summary>When what the calling thread has queued so far is done.</summary>
    public TimePoint Now()
    {
        if (IsHost) return new TimePoint(Stopwatch.GetTimestamp(), null);
        var mark = CudaEvent.Create(CudaContext.Of(_device), timing: true);
        mark.Record(TorchCuda.CurrentStream(_device));
        lock (_gate) _events.Add(mark);
        return new TimePoint(0, mark);
    }

    /// <summary>When an operation is done that runs on a stream of its own.</summary>
    public TimePoint EndOf(Work work)
    {
        if (_side is null) return Now();
        TimePoint end = default;
        _side.RunBeside(() =>
        {
            work.Wait();
            end = Now();
        });
        return end;
    }

    /// <summary>Microseconds since this clock was made. Waits until the point is reached.</summary>
    public double Microseconds(TimePoint point)
    {
        if (point.Mark is not { } mark) return Stopwatch.GetElapsedTime(_zero.Ticks, point.Ticks).TotalMicroseconds;
        mark.Synchronize();
        return 1000.0 * mark.MillisecondsSince(_zero.Mark!);
    }

    public void Dispose()
    {
        _side?.Dispose();
        foreach (var mark in _events) mark.Dispose();
    }

    /// <param name="Ticks">Of the host's stopwatch.</param>
    /// <param name="Mark">In a stream of the device.</param>
    internal readonly record struct TimePoint(long Ticks, CudaEvent? Mark);
}
