namespace AccelerateSharp.Checkpoints;

/// <summary>A part of a tensor that one thread reads at once.</summary>
/// <param name="Source">The tensor's bytes.</param>
/// <param name="Offset">The first byte, counted from the tensor's own.</param>
/// <param name="Length">Number of bytes.</param>
/// <param name="Destination">Where they belong, on the tensor's device.</param>
internal readonly record struct BytePiece(ByteSource Source, long Offset, int Length, nint Destination)
{
    /// <summary>Large enough that a read's fixed cost does not show, small enough to keep all threads busy and the staging memory small.</summary>
    internal const int MaxLength = 8 << 20;

    internal unsafe void Read(byte* buffer) => Source.Read(Offset, new Span<byte>(buffer, Length));

    /// <summary>Reads pieces that belong into host memory, with all threads there are.</summary>
    internal static unsafe void ReadAll(IReadOnlyList<BytePiece> pieces)
    {
        if (pieces.Count == 1)
        {
            pieces[0].Read((byte*)pieces[0].Destination);
            return;
        }
        System.Threading.Tasks.Parallel.ForEach(pieces, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, piece => piece.Read((byte*)piece.Destination));
    }
}
