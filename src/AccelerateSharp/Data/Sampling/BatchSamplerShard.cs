namespace AccelerateSharp.Data.Sampling;

/// <summary>One rank's share of the batches of a sampler that is the same on every rank.</summary>
/// <remarks>
/// Without <c>splitBatches</c> whole batches are dealt out in turn: batch i goes to rank i mod P, so a round of P batches is one
/// global step. With it every batch is cut into P equal slices. With <c>evenBatches</c> every rank sees the same number of
/// batches of the same size: the last round is filled up from the beginning of the epoch. Without it, ranks may get a short last
/// batch or one batch less. <see cref="Count"/> is what this rank really yields, also for uneven split batches.
/// </remarks>
internal sealed class BatchSamplerShard : IBatchSampler
{
    private readonly IBatchSampler _inner;
    private readonly int _size;
    private readonly int _rank;
    private readonly bool _split;
    private readonly bool _even;

    public BatchSamplerShard(IBatchSampler inner, int size, int rank, bool splitBatches = false, bool evenBatches = true)
    {
        if (splitBatches) SplitBatches.Check(inner.BatchSize, size);
        _inner = inner;
        _size = size;
        _rank = rank;
        _split = splitBatches;
        _even = evenBatches;
    }

    public int? BatchSize => _split ? _inner.BatchSize / _size : _inner.BatchSize;

    public bool DropLast => _inner.DropLast;

    public long? SampleCount => _inner.SampleCount;

    public long? Count
    {
        get
        {
            if (_inner.Count is not { } batches) return null;
            if (_split)
            {
                var last = (int)(_inner.SampleCount.GetValueOrDefault() % _inner.BatchSize!.Value);
                var nothingOfTheLast = !_even && !DropLast && last > 0 && last <= _rank * BatchSize!.Value;
                return nothingOfTheLast ? batches - 1 : batches;
            }
            var rounds = batches / _size;
            var left = batches % _size;
            if (left == 0 || DropLast) return rounds;
            return _even || _rank < left ? rounds + 1 : rounds;
        }
    }

    public IEnumerable<IndexBatch> Begin(long epoch, IDataParallelContext context)
    {
        var batches = _inner.Begin(epoch, context);
        return _split ? Slices(batches) : Turns(batches);
    }

    private IEnumerable<IndexBatch> Turns(IEnumerable<IndexBatch> batches)
    {
        var start = new List<long[]>(); // the first round, to fill the last one up from
        long[]? mine = null;
        long[] last = [];
        var index = 0L;
        var inRound = 0;
        foreach (var (batch, _) in batches)
        {
            if (!DropLast && index < _size) start.Add(batch);
            var turn = (int)(index++ % _size);
            inRound = turn == 0 ? batch.Length : inRound + batch.Length;
            if (turn == _rank) mine = batch;
            last = batch;
            if (turn < _size - 1 || !IsWhole(batch)) continue;
            yield return new IndexBatch(mine!, 0);
            mine = null;
        }
        if (DropLast || start.Count == 0) yield break;
        if (!_even)
        {
            if (mine is not null) yield return new IndexBatch(mine, inRound);
            yield break;
        }
        if (mine is not null && IsWhole(mine)) yield return new IndexBatch(mine, inRound);
        foreach (var (turn, batch) in FillRound(start, last, index))
            if (turn == _rank) yield return new IndexBatch(batch, inRound);
    }

    /// <summary>What is missing in the last round, as (rank, batch): the short batch made whole, then whole ones.</summary>
    private IEnumerable<(int Turn, long[] Batch)> FillRound(List<long[]> start, long[] last, long index)
    {
        if (BatchSize is not { } batchSize)
        {
            for (var next = 0; index % _size != 0; index++)
                yield return ((int)(index % _size), start[next++ % start.Count]);
            yield break;
        }
        var cycle = start.SelectMany(batch => batch).ToArray();
        var cursor = 0;
        if (IsWhole(last)) last = [];
        else index--;
        while (index % _size != 0 || last.Length > 0)
        {
            var filled = new long[batchSize];
            last.CopyTo(filled, 0);
            for (var i = last.Length; i < batchSize; i++)
                filled[i] = cycle[cursor++ % cycle.Length];
            yield return ((int)(index++ % _size), filled);
            last = [];
        }
    }

    private IEnumerable<IndexBatch> Slices(IEnumerable<IndexBatch> batches)
    {
        var whole = _inner.BatchSize!.Value;
        var share = whole / _size;
        long[]? first = null;
        foreach (var (batch, _) in batches)
        {
            first ??= batch;
            if (batch.Length == whole)
            {
                yield return new IndexBatch(batch[(_rank * share)..((_rank + 1) * share)], 0);
                continue;
            }
            if (DropLast) yield break;
            var slice = _even
                ? [.. Enumerable.Range(_rank * share, share).Select(i => i < batch.Length ? batch[i] : first[(i - batch.Length) % first.Length])]
                : batch.Skip(_rank * share).Take(share).ToArray();
            if (slice.Length > 0) yield return new IndexBatch(slice, batch.Length);
        }
    }

    private bool IsWhole(long[] batch) => BatchSize is not { } batchSize || batch.Length == batchSize;
}
