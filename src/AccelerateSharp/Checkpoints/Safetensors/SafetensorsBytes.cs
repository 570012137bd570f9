using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>A tensor of an open safetensors file.</summary>
internal sealed class SafetensorsBytes(SafetensorsReader reader, SafetensorsTensor tensor) : ByteSource
{
    public override long ByteCount => tensor.ByteCount;

    public override void Read(long offset, Span<byte> destination) => reader.Read(tensor, offset, destination);
}
