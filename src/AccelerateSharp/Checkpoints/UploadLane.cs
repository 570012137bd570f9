using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Checkpoints;

/// <summary>One thread's way to a GPU: two pinned buffers, of which one is filled while the other is copied. Its context is current.</summary>
internal sealed unsafe class UploadLane : IDisposable
{
    private const int BufferCount = 2;

    private readonly CudaStream _stream;
    private readonly CudaEvent[] _copied = new CudaEvent[BufferCount];
    private readonly nint _memory;
    private readonly int _bufferLength;
    private int _sent;

    internal UploadLane(CudaContext context, int bufferLength)
    {
        _bufferLength = bufferLength;
        _memory = CudaDriver.AllocatePinned((long)bufferLength * BufferCount);
        _stream = CudaStream.CreateNonBlocking(context);
        for (var i = 0; i < BufferCount; i++) _copied[i] = CudaEvent.Create(context);
    }

    internal void WaitFor(CudaEvent @event) => _stream.WaitFor(@event);

    internal void Send(BytePiece piece)
    {
        var slot = _sent++ % BufferCount;
        // An event that was never recorded counts as reached.
        _copied[slot].Synchronize();
        var buffer = (byte*)_memory + (long)slot * _bufferLength;
        piece.Read(buffer);
        CudaDriver.CopyAsync(piece.Destination, (nint)buffer, piece.Length, _stream.Raw);
        _copied[slot].Record(_stream.Raw);
    }

    /// <summary>Waits until all has arrived.</summary>
    internal void Synchronize() => _stream.Synchronize();

    /// <summary>Waits until all has arrived, also after an error: the GPU may still be reading the buffers.</summary>
    public void Dispose()
    {
        try
        {
            _stream.Synchronize();
        }
        finally
        {
            foreach (var @event in _copied) @event.Dispose();
            _stream.Dispose();
            CudaDriver.FreePinned(_memory);
        }
    }
}
