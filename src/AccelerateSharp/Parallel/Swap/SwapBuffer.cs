using AccelerateSharp.BigModel;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>Host memory that files are read to and written from, at an address that direct access takes; pinned where a GPU copies from it.</summary>
internal sealed class SwapBuffer(bool pinned) : IDisposable
{
    private Tensor? _memory;
    private nint _shift;

    /// <summary>Bytes that can be used.</summary>
    public long Capacity { get; private set; }

    /// <summary>What is being read to it, or written from it.</summary>
    public Task Pending { get; set; } = Task.CompletedTask;

    /// <summary>Address of the first byte.</summary>
    public nint Address => TensorStorage.Address(_memory!) + _shift;

    /// <summary>Makes room; what was there is lost if there was too little.</summary>
    public void EnsureCapacity(long bytes)
    {
        if (bytes <= Capacity) return;
        Dispose();
        using var scope = NewDisposeScope();
        var memory = empty(bytes + SwapFile.Alignment, ScalarType.Byte);
        if (pinned) memory = memory.pin_memory();
        _memory = memory.DetachFromDisposeScope();
        var address = TensorStorage.Address(_memory);
        _shift = (SwapFile.Alignment - (address % SwapFile.Alignment)) % SwapFile.Alignment;
        Capacity = bytes;
    }

    /// <summary>A part of the memory as a tensor of one dimension; it goes with the current dispose scope.</summary>
    public Tensor View(long start, long count, ScalarType dtype)
    {
        using var bytes = _memory!.narrow(0, _shift + start, count * PagedField.SizeOf(dtype));
        return BlockSlot.View(bytes, dtype);
    }

    /// <summary>Waits for what is being read or written.</summary>
    /// <exception cref="IOException">It failed.</exception>
    public void Wait()
    {
        var pending = Pending;
        Pending = Task.CompletedTask;
        pending.GetAwaiter().GetResult();
    }

    public void Dispose()
    {
        _memory?.Dispose();
        _memory = null;
        Capacity = 0;
    }
}
