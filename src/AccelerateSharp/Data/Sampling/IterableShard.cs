namespace AccelerateSharp.Data.Sampling;

/// <summary>One rank's share of a stream of samples that every rank reads in the same order.</summary>
/// <remarks>
/// The stream is cut into global chunks (the batch size when split, else batch size × ranks); each rank keeps its slice of every
/// chunk. The tail is filled up from the first chunk, so all ranks yield the same number of samples. <see cref="Count"/> counts
/// what is yielded; the reference forgets the split there.
/// </remarks>
internal sealed class IterableShard<T>
{
    private readonly IEnumerable<T> _source;
    private readonly bool _dropLast;
    private readonly int _rank;
    private readonly int _chunk;
    private readonly int _share;

    public IterableShard(IEnumerable<T> source, int batchSize, bool dropLast, int size, int rank, bool splitBatches)
    {
        if (splitBatches) SplitBatches.Check(batchSize, size);
        _source = source;
        _dropLast = dropLast;
        _rank = rank;
        _chunk = splitBatches ? batchSize : batchSize * size;
        _share = _chunk / size;
    }

    /// <summary>Called with a chunk when nobody will be given its samples any more (never with the first one).</summary>
    public Action<List<T>>? Finished { get; init; }

    /// <summary>How many samples this rank yields out of <paramref name="total"/>.</summary>
    public long Count(long total) => (_dropLast ? total / _chunk : (total + _chunk - 1) / _chunk) * _share;

    /// <summary>This rank's samples, with the number of real ones in their chunk when it was filled up, else 0.</summary>
    public IEnumerable<(T Sample, int Remainder)> Walk()
    {
        var buffer = new List<T>(_chunk);
        T[]? first = null;
        foreach (var sample in _source)
        {
            buffer.Add(sample);
            if (buffer.Count < _chunk) continue;
            for (var i = 0; i < _share; i++) yield return (buffer[_rank * _share + i], 0);
            if (first is null) first = [.. buffer];
            else Finished?.Invoke(buffer);
            buffer.Clear();
        }
        if (_dropLast || buffer.Count == 0) yield break;
        var real = buffer.Count;
        var fill = first ?? [.. buffer];
        for (var i = 0; buffer.Count < _chunk; i++) buffer.Add(fill[i % fill.Length]);
        for (var i = 0; i < _share; i++) yield return (buffer[_rank * _share + i], real);
    }
}
