using System.Collections.Concurrent;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The primary context of one GPU: the one that libtorch and NCCL compute in.</summary>
/// <remarks>
/// Retained once per process and never released: libtorch holds it until the process ends too. "Current" is a property of a thread,
/// so whoever calls the driver enters the context first; where it is current already that is one cheap query.
/// </remarks>
internal sealed class CudaContext
{
    private static readonly ConcurrentDictionary<int, CudaContext> _contexts = new();
    private readonly nint _handle;

    private CudaContext(int deviceIndex)
    {
        if (!CudaDriver.IsAvailable) throw new InvalidOperationException($"CUDA device {deviceIndex} was asked for, but {CudaDriver.WhyUnavailable}.");
        DeviceIndex = deviceIndex;
        CudaDriver.Check(CudaDriverNative.cuDeviceGet(out var device, deviceIndex), $"{nameof(CudaDriverNative.cuDeviceGet)}({deviceIndex})");
        CudaDriver.Check(CudaDriverNative.cuDevicePrimaryCtxRetain(out _handle, device), nameof(CudaDriverNative.cuDevicePrimaryCtxRetain));
    }

    internal int DeviceIndex { get; }

    internal static CudaContext Of(int deviceIndex) => _contexts.GetOrAdd(deviceIndex, static index => new CudaContext(index));

    /// <summary>Makes this context current on the calling thread until the result is disposed.</summary>
    internal Scope Enter()
    {
        CudaDriver.Check(CudaDriverNative.cuCtxGetCurrent(out var previous), nameof(CudaDriverNative.cuCtxGetCurrent));
        if (previous == _handle) return default;
        CudaDriver.Check(CudaDriverNative.cuCtxSetCurrent(_handle), nameof(CudaDriverNative.cuCtxSetCurrent));
        return new Scope(previous);
    }

    /// <summary>The GPU's memory, in bytes: what no process has taken, and all of it.</summary>
    internal (long Free, long Total) MemoryInfo()
    {
        using var scope = Enter();
        CudaDriver.Check(CudaDriverNative.cuMemGetInfo_v2(out var free, out var total), nameof(CudaDriverNative.cuMemGetInfo_v2));
        return ((long)free, (long)total);
    }

    /// <summary>Puts the thread's former context back. A thread that had none keeps ours: nothing is there to restore.</summary>
    internal readonly ref struct Scope(nint previous)
    {
        public void Dispose()
        {
            if (previous != 0) CudaDriver.Check(CudaDriverNative.cuCtxSetCurrent(previous), nameof(CudaDriverNative.cuCtxSetCurrent));
        }
    }
}
