namespace AccelerateSharp.Data.Sampling;

/// <summary>0, 1, … n−1, every epoch.</summary>
internal sealed class SequentialSampler(long count) : IIndexSampler
{
    public long? Count => count;

    public IEnumerable<long> Begin(long epoch, IDataParallelContext context)
    {
        for (var i = 0L; i < count; i++)
            yield return i;
    }
}
