using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>Values of one dimension in a file.</summary>
/// <param name="File">The file.</param>
/// <param name="Position">The first byte.</param>
/// <param name="Count">Elements.</param>
/// <param name="Dtype">Of what.</param>
internal sealed record PagedField(SwapFile File, long Position, long Count, ScalarType Dtype)
{
    /// <summary>Bytes in a buffer, the rest of the last block included.</summary>
    public long ByteCount => SwapFile.RoundUp(Count * SizeOf(Dtype));

    /// <summary>Makes room in a file.</summary>
    public static PagedField Reserve(SwapFile file, long count, ScalarType dtype) => new(file, file.Reserve(count * SizeOf(dtype)), count, dtype);

    /// <summary>A part that begins at a whole number of blocks.</summary>
    public PagedField Part(long start, long count) => this with { Position = Position + (start * SizeOf(Dtype)), Count = count };

    /// <summary>Reads all of it, and waits.</summary>
    /// <param name="buffer">What it is read through; a large one goes in pieces.</param>
    /// <param name="into">Where to; of any device.</param>
    public void Read(SwapBuffer buffer, Tensor into) => ForEachPiece(buffer, (piece, start) =>
    {
        piece.File.ReadAsync(piece.Position, buffer.Address, piece.ByteCount).GetAwaiter().GetResult();
        using var view = buffer.View(0, piece.Count, Dtype);
        using var target = into.narrow(0, start, piece.Count);
        target.copy_(view);
    });

    /// <summary>Writes all of it, and waits.</summary>
    public void Write(SwapBuffer buffer, Tensor values) => ForEachPiece(buffer, (piece, start) =>
    {
        using var view = buffer.View(0, piece.Count, Dtype);
        using var source = values.narrow(0, start, piece.Count);
        view.copy_(source);
        piece.File.WriteAsync(piece.Position, buffer.Address, piece.ByteCount).GetAwaiter().GetResult();
    });

    /// <summary>Bytes of one element.</summary>
    public static int SizeOf(ScalarType dtype) => dtype switch
    {
        ScalarType.Float64 or ScalarType.Int64 => 8,
        ScalarType.Float32 or ScalarType.Int32 => 4,
        ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Int16 => 2,
        ScalarType.Byte or ScalarType.Int8 or ScalarType.Bool => 1,
        _ => throw new NotSupportedException($"Values of {dtype} are not kept in files; use fp32, fp16 or bf16."),
    };

    private void ForEachPiece(SwapBuffer buffer, Action<PagedField, long> action)
    {
        using var noGrad = no_grad();
        buffer.EnsureCapacity(SwapFile.Alignment * 256);
        var most = buffer.Capacity / SwapFile.Alignment * SwapFile.Alignment / SizeOf(Dtype);
        for (var start = 0L; start < Count; start += most) action(Part(start, Math.Min(most, Count - start)), start);
    }
}
