using AccelerateSharp.Data.Sampling;

namespace AccelerateSharp.Data.Sources;

/// <summary>Samples that can only be read in order, joined into batches here.</summary>
internal sealed class SampleStreamSource<TSample, TBatch>(
    IEnumerable<TSample> samples, int batchSize, bool dropLast, Func<IReadOnlyList<TSample>, TBatch> collate, int prefetch, bool pinMemory)
    : BatchSource<TBatch>
{
    public override int? BatchSize => batchSize;

    public override bool IsStream => true;

    public override long? Count(LoaderBinding binding)
    {
        if (!samples.TryGetNonEnumeratedCount(out var total)) return null;
        var step = binding.Configuration.SplitBatches ? batchSize : batchSize * binding.Context.Size;
        return dropLast ? total / step : (total + step - 1L) / step;
    }

    public override void Check(LoaderBinding binding)
    {
        base.Check(binding);
        if (binding.Configuration.SplitBatches) SplitBatches.Check(batchSize, binding.Context.Size);
    }

    public override IBatchPass<TBatch> Open(long epoch, long skip, LoaderBinding binding)
    {
        var (size, split) = (binding.Context.Size, binding.Configuration.SplitBatches);
        if (binding.Dispatches(IsStream))
        {
            var whole = binding.Context.Rank == 0 ? Batches(Ahead(Collate(Group(), skip * (split ? 1 : size)))) : null;
            return new DispatchPass<TBatch>(binding, dropLast, whole);
        }
        return new StreamPass<TBatch>(Ahead(Collate(size == 1 ? Group() : Share(binding), skip)));
    }

    private static async IAsyncEnumerable<TBatch> Batches(IAsyncEnumerable<RankBatch<TBatch>> batches)
    {
        await foreach (var batch in batches.ConfigureAwait(false)) yield return batch.Batch;
    }

    private IAsyncEnumerable<RankBatch<TBatch>> Ahead(IAsyncEnumerable<RankBatch<TBatch>> batches) =>
        prefetch > 0 ? StreamReaders.Ahead(batches, prefetch, pinMemory) : batches;

    private async IAsyncEnumerable<RankBatch<TBatch>> Collate(IEnumerable<(TSample[] Samples, int Remainder)> groups, long skip)
    {
        var index = 0L;
        foreach (var (group, remainder) in groups)
        {
            var number = index++;
            if (number < skip) continue;
            var batch = Ownership.Capture(() => SampleReader.Collate(group, collate, $"batch {number} of the stream"));
            yield return new RankBatch<TBatch>(batch, remainder);
        }
        await ValueTask.CompletedTask.ConfigureAwait(false);
    }

    private IEnumerable<(TSample[] Samples, int Remainder)> Group()
    {
        var tracker = new CreationTracker<TSample>();
        try
        {
            foreach (var chunk in Tracked(tracker).Chunk(batchSize))
            {
                if (chunk.Length < batchSize && dropLast) yield break;
                yield return (chunk, 0);
                foreach (var sample in chunk) tracker.Release(sample);
            }
        }
        finally
        {
            tracker.ReleaseAll();
        }
    }

    private IEnumerable<(TSample[] Samples, int Remainder)> Share(LoaderBinding binding)
    {
        var (size, split) = (binding.Context.Size, binding.Configuration.SplitBatches);
        var tracker = new CreationTracker<TSample>();
        var shard = new IterableShard<TSample>(Tracked(tracker), batchSize, dropLast, size, binding.Context.Rank, split)
        {
            Finished = chunk => chunk.ForEach(sample => tracker.Release(sample)),
        };
        try
        {
            foreach (var chunk in shard.Walk().Chunk(split ? batchSize / size : batchSize))
                yield return ([.. chunk.Select(item => item.Sample)], dropLast ? -1 : chunk[0].Remainder);
        }
        finally
        {
            tracker.ReleaseAll();
        }
    }

    private IEnumerable<TSample> Tracked(CreationTracker<TSample> tracker)
    {
        using var enumerator = samples.GetEnumerator();
        while (tracker.Read(enumerator)) yield return enumerator.Current;
    }
}
