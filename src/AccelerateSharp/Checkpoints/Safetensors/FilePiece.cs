using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>A part of a tensor that one thread reads at once.</summary>
/// <param name="Reader">The file.</param>
/// <param name="Tensor">The tensor.</param>
/// <param name="Offset">The first byte, counted from the tensor's own.</param>
/// <param name="Length">Number of bytes.</param>
/// <param name="Destination">Where they belong, on the tensor's device.</param>
internal readonly record struct FilePiece(SafetensorsReader Reader, SafetensorsTensor Tensor, long Offset, int Length, nint Destination)
{
    /// <summary>Large enough that a read's fixed cost does not show, small enough to keep all threads busy and the staging memory small.</summary>
    internal const int MaxLength = 8 << 20;

    internal unsafe void Read(byte* buffer) => Reader.Read(Tensor, Offset, new Span<byte>(buffer, Length));
}
