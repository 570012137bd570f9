namespace AccelerateSharp.Data.Sampling;

/// <summary>Batches that somebody else composed, of any sizes.</summary>
internal sealed class DynamicBatchSampler(IReadOnlyCollection<long[]> batches, bool dropLast = false) : IBatchSampler
{
    public int? BatchSize => null;

    public bool DropLast => dropLast;

    public long? Count => batches.Count;

    public long? SampleCount => batches.Sum(batch => (long)batch.Length);

    public IEnumerable<IndexBatch> Begin(long epoch, IDataParallelContext context) => batches.Select(batch => new IndexBatch(batch, 0));
}
