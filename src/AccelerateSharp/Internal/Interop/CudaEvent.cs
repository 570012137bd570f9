using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Internal.Interop;

/// <summary>A point in a stream that other streams, or the host, can wait for.</summary>
internal sealed class CudaEvent : SafeHandleZeroOrMinusOneIsInvalid, IStreamEvent
{
    private readonly CudaContext _context;

    private CudaEvent(CudaContext context, nint handle) : base(ownsHandle: true)
    {
        _context = context;
        SetHandle(handle);
    }

    /// <summary>True once the recorded point is reached (and before the first <see cref="Record"/>).</summary>
    public bool IsReached
    {
        get
        {
            using var scope = _context.Enter();
            return CudaDriver.CheckReady(CudaDriverNative.cuEventQuery(handle), nameof(CudaDriverNative.cuEventQuery));
        }
    }

    /// <param name="context">The GPU whose streams will record it.</param>
    /// <param name="timing">True for events that <see cref="MillisecondsSince"/> is asked of: these cost more to record.</param>
    internal static CudaEvent Create(CudaContext context, bool timing = false)
    {
        using var scope = context.Enter();
        var flags = timing ? CudaDriverNative.EventDefault : CudaDriverNative.EventDisableTiming;
        CudaDriver.Check(CudaDriverNative.cuEventCreate(out var @event, flags), nameof(CudaDriverNative.cuEventCreate));
        return new CudaEvent(context, @event);
    }

    /// <summary>Marks the present end of a stream; zero is the legacy default stream.</summary>
    internal void Record(nint stream)
    {
        using var scope = _context.Enter();
        CudaDriver.Check(CudaDriverNative.cuEventRecord(handle, stream), nameof(CudaDriverNative.cuEventRecord));
    }

    /// <summary>Work queued on <paramref name="stream"/> from now on starts only after the recorded point; the host does not wait.</summary>
    public void MakeWait(nint stream)
    {
        using var scope = _context.Enter();
        CudaDriver.Check(CudaDriverNative.cuStreamWaitEvent(stream, handle, 0), nameof(CudaDriverNative.cuStreamWaitEvent));
    }

    /// <summary>Blocks the calling thread until the recorded point is reached.</summary>
    internal void Synchronize()
    {
        using var scope = _context.Enter();
        CudaDriver.Check(CudaDriverNative.cuEventSynchronize(handle), nameof(CudaDriverNative.cuEventSynchronize));
    }

    /// <summary>GPU time between two reached events that were made with timing.</summary>
    internal float MillisecondsSince(CudaEvent start)
    {
        CudaDriver.Check(CudaDriverNative.cuEventElapsedTime(out var milliseconds, start.handle, handle), nameof(CudaDriverNative.cuEventElapsedTime));
        return milliseconds;
    }

    protected override bool ReleaseHandle() => CudaDriverNative.cuEventDestroy_v2(handle) == CudaDriverNative.Success;
}
