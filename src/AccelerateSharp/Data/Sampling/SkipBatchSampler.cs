namespace AccelerateSharp.Data.Sampling;

/// <summary>The batches of another sampler after the first few. Only indices are walked; nothing is loaded for what is skipped.</summary>
internal sealed class SkipBatchSampler(IBatchSampler inner, long skip) : IBatchSampler
{
    public int? BatchSize => inner.BatchSize;

    public bool DropLast => inner.DropLast;

    public long? SampleCount => inner.SampleCount;

    public long? Count => inner.Count is { } count ? Math.Max(0, count - skip) : null;

    public IEnumerable<IndexBatch> Begin(long epoch, IDataParallelContext context)
    {
        var batches = inner.Begin(epoch, context);
        return Walk(batches);
    }

    private IEnumerable<IndexBatch> Walk(IEnumerable<IndexBatch> batches)
    {
        var position = 0L;
        foreach (var batch in batches)
            if (position++ >= skip) yield return batch;
    }
}
