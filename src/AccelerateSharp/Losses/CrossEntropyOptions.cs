namespace AccelerateSharp.Losses;

/// <summary>How a cross entropy counts, and how many tokens it takes at a time.</summary>
internal sealed record CrossEntropyOptions
{
    /// <summary>What the temporaries of one chunk may take. Larger chunks gain nothing: their products fill a GPU already.</summary>
    private const long ChunkBytes = 512L << 20;

    /// <summary>The largest number of bytes that a logit's temporaries take at once: two of float32.</summary>
    private const int BytesPerLogit = 8;

    /// <summary>Products with fewer rows leave a GPU waiting for the weight.</summary>
    private const int SmallestChunk = 256;

    private readonly int? _chunkSize;

    public CrossEntropyOptions(long ignoreIndex, double labelSmoothing, int? chunkSize)
    {
        if (!(labelSmoothing is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(labelSmoothing), labelSmoothing, "labelSmoothing is a share of the probability: 0 to 1.");
        if (chunkSize <= 0) throw new ArgumentOutOfRangeException(nameof(chunkSize), chunkSize, "chunkSize is a number of tokens above 0, or null.");
        (IgnoreIndex, LabelSmoothing, _chunkSize) = (ignoreIndex, labelSmoothing, chunkSize);
    }

    public long IgnoreIndex { get; }

    public double LabelSmoothing { get; }

    /// <summary>The chunks of <paramref name="tokens"/> tokens, as even as they can be.</summary>
    public IEnumerable<(long Start, long Length)> Chunks(long tokens, long vocabulary)
    {
        var most = _chunkSize ?? Math.Max(SmallestChunk, ChunkBytes / (BytesPerLogit * vocabulary));
        var count = Math.Max(1, (tokens + most - 1) / most);
        var length = (tokens + count - 1) / count;
        // Rows in multiples of a tile, where the user said nothing else.
        if (_chunkSize is null && count > 1) length = (length + 127) / 128 * 128;
        for (var start = 0L; start < tokens; start += length) yield return (start, Math.Min(length, tokens - start));
    }
}
