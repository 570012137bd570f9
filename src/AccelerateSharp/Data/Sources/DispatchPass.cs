namespace AccelerateSharp.Data.Sources;

/// <summary>An epoch that rank 0 reads for everybody.</summary>
internal sealed class DispatchPass<TBatch> : IBatchPass<TBatch>
{
    private readonly BatchExchange<TBatch> _exchange;
    private readonly StreamPass<TBatch>? _steps;

    /// <param name="binding">The ranks.</param>
    /// <param name="dropLast">Whether an incomplete last step is left out.</param>
    /// <param name="batches">What rank 0 reads; null on the others.</param>
    public DispatchPass(LoaderBinding binding, bool dropLast, IAsyncEnumerable<TBatch>? batches)
    {
        _exchange = new BatchExchange<TBatch>(binding);
        var size = binding.Context.Size;
        if (batches is null) return;
        _steps = new StreamPass<TBatch>(GlobalSteps.Assemble(
            batches, binding.Configuration.SplitBatches ? 1 : size, size, binding.EvenBatches, dropLast));
    }

    public TBatch Current { get; private set; } = default!;

    public bool IsLast => _exchange.IsLast;

    public int Remainder => _exchange.Remainder;

    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellationToken)
    {
        if (IsLast) return false;
        var any = _steps is null ? _exchange.Receive() : await Send(_steps, cancellationToken).ConfigureAwait(false);
        if (!any || _exchange.Share is null) return false;
        Current = _exchange.Share;
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        if (_steps is not null) await _steps.DisposeAsync().ConfigureAwait(false);
    }

    private async ValueTask<bool> Send(StreamPass<TBatch> steps, CancellationToken cancellationToken)
    {
        try
        {
            if (!await steps.MoveNextAsync(cancellationToken).ConfigureAwait(false))
            {
                _exchange.End();
                return false;
            }
        }
        catch (Exception error)
        {
            _exchange.Fail(error);
            throw;
        }
        _exchange.Send(steps.Current, steps.IsLast, steps.Remainder);
        return true;
    }
}
