using AccelerateSharp.Data.Sampling;

namespace AccelerateSharp.Data.Sources;

/// <summary>How batches of an indexed dataset are read.</summary>
/// <param name="Workers">Threads that read; 0 reads in the loop's own thread.</param>
/// <param name="Prefetch">Batches each worker is ahead.</param>
/// <param name="PinMemory">Whether batches go through page-locked memory.</param>
internal sealed record ReadingOptions(int Workers, int Prefetch, bool PinMemory)
{
    public int Workers { get; } = Workers >= 0 ? Workers : throw new ArgumentOutOfRangeException(nameof(Workers), Workers, "workers must be 0 or more.");

    public int Prefetch { get; } = Prefetch >= 1 ? Prefetch : throw new ArgumentOutOfRangeException(nameof(Prefetch), Prefetch, "prefetch must be 1 or more.");
}

/// <summary>A dataset whose samples can be read by index, in any order.</summary>
internal sealed class IndexedSource<TBatch>(
    long samples, int batchSize, bool shuffle, long? seed, bool dropLast, Func<long[], TBatch> load, ReadingOptions options)
    : BatchSource<TBatch>
{
    public override int? BatchSize => batchSize;

    public override bool IsStream => false;

    public override long? Count(LoaderBinding binding)
    {
        if (!binding.Dispatches(IsStream)) return Shard(binding).Count;
        var whole = Whole(binding).Count!.Value;
        var size = binding.Configuration.SplitBatches ? 1 : binding.Context.Size;
        return dropLast ? whole / size : (whole + size - 1) / size;
    }

    public override void Check(LoaderBinding binding)
    {
        base.Check(binding);
        _ = Shard(binding);
    }

    public override IBatchPass<TBatch> Open(long epoch, long skip, LoaderBinding binding)
    {
        if (!binding.Dispatches(IsStream)) return Read(new SkipBatchSampler(Shard(binding), skip), epoch, binding.Context);
        var perStep = binding.Configuration.SplitBatches ? 1 : binding.Context.Size;
        var batches = binding.Context.Rank == 0
            ? Batches(Read(new SkipBatchSampler(Whole(binding), skip * perStep), epoch, SingleProcessContext.Cpu))
            : null;
        return new DispatchPass<TBatch>(binding, dropLast, batches);
    }

    private static async IAsyncEnumerable<TBatch> Batches(IndexedPass<TBatch> pass)
    {
        await using (pass.ConfigureAwait(false))
        {
            while (await pass.MoveNextAsync(CancellationToken.None).ConfigureAwait(false)) yield return pass.Current;
        }
    }

    private IndexedPass<TBatch> Read(SkipBatchSampler sampler, long epoch, IDataParallelContext context) =>
        new(sampler.Begin(epoch, context), sampler.DropLast, load, options);

    private IBatchSampler Shard(LoaderBinding binding) => binding.Context.Size == 1
        ? Whole(binding)
        : new BatchSamplerShard(
            Whole(binding), binding.Context.Size, binding.Context.Rank, binding.Configuration.SplitBatches, binding.EvenBatches);

    private BatchSampler Whole(LoaderBinding binding) => new(
        shuffle ? new SeedableRandomSampler(samples, seed ?? Shuffling.BaseSeed(binding.Configuration)) : new SequentialSampler(samples),
        batchSize, dropLast);
}
