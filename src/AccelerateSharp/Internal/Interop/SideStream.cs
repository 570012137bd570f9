using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>A stream beside the one that computes, for casts and copies that nobody needs at once.</summary>
/// <remarks>
/// Streams are lent, and never destroyed: pinned memory remembers which streams have copied it, and libtorch marks each of them when
/// that memory is freed, long after whoever borrowed the stream is gone.
/// </remarks>
internal sealed class SideStream : IDisposable
{
    private static readonly ConcurrentDictionary<int, ConcurrentBag<SideStream>> _idle = new();

    private readonly CudaStream _stream;
    private readonly CudaEvent _mark;
    private readonly int _device;
    private int _isLent;

    private SideStream(int device)
    {
        _device = device;
        var context = CudaContext.Of(device);
        _stream = CudaStream.CreateNonBlocking(context);
        _mark = CudaEvent.Create(context);
    }

    /// <summary>A stream of a GPU; null on a device that has none, where everything runs in line.</summary>
    public static SideStream? Of(Device device)
    {
        if (device.type != DeviceType.CUDA) return null;
        var index = Math.Max(device.index, 0);
        var stream = IdleOn(index).TryTake(out var idle) ? idle : new SideStream(index);
        stream._isLent = 1;
        return stream;
    }

    /// <summary>Queues libtorch's operators on the stream, behind what the calling thread has queued on its own. The host does not wait.</summary>
    /// <remarks>Memory that the operators allocate belongs to this stream: free it inside of a later call, or when the stream is idle.</remarks>
    public void Run(Action operators)
    {
        // A wait keeps what it was told, so one event serves again and again.
        _mark.Record(TorchCuda.CurrentStream(_device));
        _stream.WaitFor(_mark);
        using var current = TorchCuda.Use(_stream.Raw, _device);
        operators();
    }

    /// <summary>The same, but not behind anything: the stream waits for what the operators themselves wait for.</summary>
    public void RunBeside(Action operators)
    {
        using var current = TorchCuda.Use(_stream.Raw, _device);
        operators();
    }

    /// <summary>What the calling thread queues from now on runs behind what the stream holds.</summary>
    public void MakeCallerWait()
    {
        _mark.Record(_stream.Raw);
        _mark.MakeWait(TorchCuda.CurrentStream(_device));
    }

    /// <summary>A new mark at the present end of the stream; the caller disposes it.</summary>
    public CudaEvent MarkEnd()
    {
        var end = CudaEvent.Create(CudaContext.Of(_device));
        end.Record(_stream.Raw);
        return end;
    }

    /// <summary>Blocks the calling thread until everything queued here is done.</summary>
    public void Synchronize() => _stream.Synchronize();

    /// <summary>Gives the stream back when it has done what it holds.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isLent, 0) == 0) return;
        _stream.Synchronize();
        IdleOn(_device).Add(this);
    }

    private static ConcurrentBag<SideStream> IdleOn(int device) => _idle.GetOrAdd(device, static _ => []);
}
