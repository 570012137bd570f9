namespace AccelerateSharp.Data.Sources;

/// <summary>One epoch of one rank over a source. Whoever takes a batch owns its tensors, which are in no dispose scope.</summary>
/// <remarks>
/// Asynchronous in form so that one implementation serves both kinds of loop; it completes on the caller's thread unless it really
/// waits for a worker or for an asynchronous source.
/// </remarks>
internal interface IBatchPass<TBatch> : IAsyncDisposable
{
    TBatch Current { get; }

    /// <summary>Whether <see cref="Current"/> is the last batch.</summary>
    bool IsLast { get; }

    /// <summary>Samples over all ranks in an incomplete last step; 0 when it is whole; −1 when unknown or dropped.</summary>
    int Remainder { get; }

    ValueTask<bool> MoveNextAsync(CancellationToken cancellationToken);
}

/// <summary>Where the batches of a <see cref="BatchLoader{TBatch}"/> come from.</summary>
internal abstract class BatchSource<TBatch>
{
    /// <summary>Samples per batch as the user asked for it; null when batches have sizes of their own.</summary>
    public abstract int? BatchSize { get; }

    /// <summary>Whether batches can only be read in order.</summary>
    public abstract bool IsStream { get; }

    /// <summary>Batches this rank sees in an epoch; null when unknown.</summary>
    public abstract long? Count(LoaderBinding binding);

    public static ArgumentException NeedsDevicePlacement() => new(
        "DataLoaderConfiguration.DispatchBatches sends batches from device to device; it needs device placement. "
        + "Allow device placement for this loader, or set DispatchBatches to false.");

    /// <summary>Checks that the source can be shared out as configured.</summary>
    public virtual void Check(LoaderBinding binding)
    {
        if (binding.Dispatches(IsStream) && !binding.DevicePlacement) throw NeedsDevicePlacement();
    }

    /// <summary>Starts an epoch at its <paramref name="skip"/>-th step.</summary>
    public abstract IBatchPass<TBatch> Open(long epoch, long skip, LoaderBinding binding);
}
