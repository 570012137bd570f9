namespace AccelerateSharp.Data.Sampling;

/// <summary>Consecutive indices of a sampler, <c>batchSize</c> at a time.</summary>
internal sealed class BatchSampler : IBatchSampler
{
    private readonly IIndexSampler _sampler;
    private readonly int _batchSize;

    public BatchSampler(IIndexSampler sampler, int batchSize, bool dropLast)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        _sampler = sampler;
        _batchSize = batchSize;
        DropLast = dropLast;
    }

    public int? BatchSize => _batchSize;

    public bool DropLast { get; }

    public long? SampleCount => _sampler.Count;

    public long? Count => _sampler.Count is { } n ? (DropLast ? n / _batchSize : (n + _batchSize - 1) / _batchSize) : null;

    public IEnumerable<IndexBatch> Begin(long epoch, IDataParallelContext context)
    {
        // Outside the iterator: the collectives of an epoch's start run when the epoch starts.
        var indices = _sampler.Begin(epoch, context);
        return Walk(indices);
    }

    private IEnumerable<IndexBatch> Walk(IEnumerable<long> indices)
    {
        var batch = new long[_batchSize];
        var filled = 0;
        foreach (var index in indices)
        {
            batch[filled++] = index;
            if (filled < _batchSize) continue;
            yield return new IndexBatch(batch, 0);
            batch = new long[_batchSize];
            filled = 0;
        }
        if (filled > 0 && !DropLast) yield return new IndexBatch(batch[..filled], filled);
    }
}
