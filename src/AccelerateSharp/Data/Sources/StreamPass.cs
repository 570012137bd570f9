namespace AccelerateSharp.Data.Sources;

/// <summary>A batch of one rank and what is real in its step.</summary>
internal readonly record struct RankBatch<TBatch>(TBatch Batch, int Remainder);

/// <summary>A stream of this rank's batches, read one ahead so that the last one is known as such.</summary>
internal sealed class StreamPass<TBatch>(IAsyncEnumerable<RankBatch<TBatch>> batches) : IBatchPass<TBatch>
{
    private IAsyncEnumerator<RankBatch<TBatch>>? _enumerator;
    private RankBatch<TBatch> _next;

    public TBatch Current { get; private set; } = default!;

    public bool IsLast { get; private set; }

    public int Remainder { get; private set; } = -1;

    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellationToken)
    {
        if (IsLast) return false;
        if (_enumerator is null)
        {
            _enumerator = batches.GetAsyncEnumerator(cancellationToken);
            if (!await Advance().ConfigureAwait(false)) return false;
        }
        var current = _next;
        _next = default;
        try
        {
            _ = await Advance().ConfigureAwait(false);
        }
        catch
        {
            Ownership.Dispose(current.Batch);
            throw;
        }
        Current = current.Batch;
        Remainder = current.Remainder;
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        if (_enumerator is not null) await _enumerator.DisposeAsync().ConfigureAwait(false);
        if (_next.Batch is not null) Ownership.Dispose(_next.Batch);
        _next = default;
    }

    private async ValueTask<bool> Advance()
    {
        if (await _enumerator!.MoveNextAsync().ConfigureAwait(false))
        {
            _next = _enumerator.Current;
            return true;
        }
        IsLast = true;
        return false;
    }
}
