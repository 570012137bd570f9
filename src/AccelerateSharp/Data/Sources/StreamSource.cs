using System.Runtime.CompilerServices;

namespace AccelerateSharp.Data.Sources;

/// <summary>Batches that can only be read in order. Every rank that reads, reads the same ones.</summary>
internal sealed class StreamSource<TBatch>(Func<IAsyncEnumerable<TBatch>> open, Func<long?> count) : BatchSource<TBatch>
{
    public override int? BatchSize => null;

    public override bool IsStream => true;

    public override long? Count(LoaderBinding binding)
    {
        if (count() is not { } batches || binding.Context.Size == 1 || binding.Configuration.SplitBatches) return count();
        var (rounds, left) = Math.DivRem(batches, binding.Context.Size);
        var partOfTheLast = binding.EvenBatches || binding.Dispatches(IsStream) || binding.Context.Rank < left;
        return left > 0 && partOfTheLast ? rounds + 1 : rounds;
    }

    public override IBatchPass<TBatch> Open(long epoch, long skip, LoaderBinding binding)
    {
        var size = binding.Context.Size;
        if (size == 1) return new StreamPass<TBatch>(Alone(Skip(open(), skip)));
        var perStep = binding.Configuration.SplitBatches ? 1 : size;
        if (binding.Dispatches(IsStream))
        {
            var batches = binding.Context.Rank == 0 ? Skip(open(), skip * perStep) : null;
            return new DispatchPass<TBatch>(binding, dropLast: false, batches);
        }
        return new StreamPass<TBatch>(binding.Configuration.SplitBatches ? Split(skip, binding) : Turns(skip, binding));
    }

    private static async IAsyncEnumerable<RankBatch<TBatch>> Alone(IAsyncEnumerable<TBatch> batches)
    {
        await foreach (var batch in batches.ConfigureAwait(false)) yield return new RankBatch<TBatch>(batch, 0);
    }

    /// <summary>This rank's rows of every batch.</summary>
    private async IAsyncEnumerable<RankBatch<TBatch>> Split(
        long skip, LoaderBinding binding, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var steps = GlobalSteps.Assemble(Skip(open(), skip), 1, binding.Context.Size, binding.EvenBatches, dropLast: false, cancellationToken);
        await foreach (var step in steps.ConfigureAwait(false))
        {
            var share = GlobalSteps.Share(step.Batch, binding.Context.Size, binding.Context.Rank);
            Ownership.Dispose(step.Batch);
            if (share is not null) yield return step with { Batch = share };
        }
    }

    /// <summary>Every P-th batch. To fill the last round up, the batches of the first one are kept until the end.</summary>
    private async IAsyncEnumerable<RankBatch<TBatch>> Turns(
        long skip, LoaderBinding binding, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var (size, rank, even) = (binding.Context.Size, binding.Context.Rank, binding.EvenBatches);
        var start = new List<TBatch>();
        var (index, inRound, mine, hasMine) = (0L, 0, default(TBatch), false);
        try
        {
            await foreach (var batch in open().WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                var turn = (int)(index++ % size);
                if (even && start.Count < size) start.Add(Ownership.Capture(() => Trees.TensorTree.Map(batch, tensor => tensor.alias())));
                var rows = (int)(Trees.TensorTree.FindBatchSize(batch) ?? 1);
                inRound = turn == 0 ? rows : inRound + rows;
                var skipped = index <= skip * size;
                if (turn == rank && !skipped) (mine, hasMine) = (batch, true);
                else Ownership.Dispose(batch);
                if (turn < size - 1 || skipped) continue;
                yield return new RankBatch<TBatch>(mine!, 0);
                (mine, hasMine) = (default, false);
            }
            var left = (int)(index % size);
            if (left == 0 || index / size < skip) yield break;
            if (!hasMine && even)
                (mine, hasMine) = (Ownership.Capture(() => Trees.TensorTree.Map(start[(rank - left) % start.Count], tensor => tensor.alias())), true);
            if (!hasMine) yield break;
            yield return new RankBatch<TBatch>(mine!, inRound);
            (mine, hasMine) = (default, false);
        }
        finally
        {
            foreach (var kept in start) Ownership.Dispose(kept);
            if (hasMine) Ownership.Dispose(mine);
        }
    }

    private static async IAsyncEnumerable<TBatch> Skip(IAsyncEnumerable<TBatch> batches, long skip)
    {
        var index = 0L;
        await foreach (var batch in batches.ConfigureAwait(false))
        {
            if (index++ >= skip) yield return batch;
            else Ownership.Dispose(batch);
        }
    }
}
