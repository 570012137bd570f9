using AccelerateSharp.Data.Sampling;

namespace AccelerateSharp.Data.Sources;

/// <summary>Reads the batches whose indices it is given, in order, with workers a bounded number of batches ahead.</summary>
/// <remarks>Looking ahead needs indices only: without workers just the batch in hand is in memory.</remarks>
internal sealed class IndexedPass<TBatch> : IBatchPass<TBatch>
{
    private readonly IEnumerator<IndexBatch> _indices;
    private readonly Func<long[], TBatch> _load;
    private readonly Queue<(IndexBatch Batch, Task<TBatch>? Result)> _ahead = new();
    private readonly WorkerPool<TBatch>? _pool;
    private readonly int _capacity;
    private readonly bool _dropLast;

    public IndexedPass(IEnumerable<IndexBatch> indices, bool dropLast, Func<long[], TBatch> load, ReadingOptions options)
    {
        _indices = indices.GetEnumerator();
        _dropLast = dropLast;
        _load = batch => Ownership.Capture(() => load(batch));
        if (options.PinMemory)
        {
            var read = _load;
            _load = batch => Ownership.Pin(read(batch));
        }
        if (options.Workers > 0) _pool = new WorkerPool<TBatch>(options.Workers, _load);
        // The batch in hand, what the workers are ahead, and at least one more index batch to know whether the one in hand is the last.
        _capacity = 1 + Math.Max(1, options.Workers * options.Prefetch);
    }

    public TBatch Current { get; private set; } = default!;

    public bool IsLast => _ahead.Count == 0;

    public int Remainder { get; private set; } = -1;

    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellationToken)
    {
        Fill();
        if (!_ahead.TryDequeue(out var next)) return false;
        Current = next.Result is { } loading ? await Take(loading, cancellationToken).ConfigureAwait(false) : _load(next.Batch.Indices);
        Remainder = _dropLast ? -1 : next.Batch.Remainder;
        return true;
    }

    public ValueTask DisposeAsync()
    {
        _indices.Dispose();
        _pool?.Dispose();
        foreach (var (_, result) in _ahead)
            if (result is { IsCompletedSuccessfully: true }) Ownership.Dispose(result.Result);
        _ahead.Clear();
        return ValueTask.CompletedTask;
    }

    private static async ValueTask<TBatch> Take(Task<TBatch> loading, CancellationToken cancellationToken)
    {
        try
        {
            return await loading.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Nobody takes this one any more; it is freed when it arrives.
            _ = loading.ContinueWith(
                late => Ownership.Dispose(late.Result), CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
            throw;
        }
    }

    private void Fill()
    {
        while (_ahead.Count < _capacity && _indices.MoveNext())
            _ahead.Enqueue((_indices.Current, _pool?.Enqueue(_indices.Current.Indices)));
    }
}
