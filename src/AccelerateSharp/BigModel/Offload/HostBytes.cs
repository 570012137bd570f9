using AccelerateSharp.Checkpoints;
using AccelerateSharp.Distributed;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>A contiguous tensor in the host's memory, which it keeps alive and disposes.</summary>
internal sealed unsafe class HostBytes(Tensor tensor) : ByteSource, IDisposable
{
    public override long ByteCount { get; } = tensor.numel() * tensor.element_size();

    public override void Read(long offset, Span<byte> destination)
    {
        new ReadOnlySpan<byte>((byte*)TensorData.Pointer(tensor) + offset, destination.Length).CopyTo(destination);
        GC.KeepAlive(tensor);
    }

    public void Dispose() => tensor.Dispose();
}
