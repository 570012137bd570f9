namespace AccelerateSharp.Checkpoints;

/// <summary>The bytes of one tensor, wherever they lie. They are read by position, and by several threads at once.</summary>
internal abstract class ByteSource
{
    public abstract long ByteCount { get; }

    /// <summary>Fills <paramref name="destination"/> whole.</summary>
    /// <param name="offset">The first byte, counted from the tensor's own.</param>
    /// <param name="destination">Not longer than what is left.</param>
    public abstract void Read(long offset, Span<byte> destination);

    /// <summary>The bytes cut into pieces that are read at once, for memory that begins at <paramref name="destination"/>.</summary>
    public IEnumerable<BytePiece> Pieces(nint destination)
    {
        for (var offset = 0L; offset < ByteCount; offset += BytePiece.MaxLength)
            yield return new BytePiece(this, offset, (int)Math.Min(BytePiece.MaxLength, ByteCount - offset), checked((nint)(destination + offset)));
    }
}
