namespace AccelerateSharp;

/// <summary>How prepared loaders share the data out to the ranks.</summary>
public sealed record DataLoaderConfiguration
{
    /// <summary>
    /// Whether the loader's batch size counts for all ranks together, so that each rank gets a slice of every batch: a batch of 16
    /// on one process becomes a batch of 2 on each of eight. The batch size must be a multiple of the number of ranks. Default
    /// false: the batch size is each rank's own, and a step covers batch size × ranks samples.
    /// </summary>
    public bool SplitBatches { get; init; }

    /// <summary>
    /// Whether rank 0 alone reads and sends every rank its slice. Default null: yes for streams of batches and of samples when
    /// there are several ranks and batches are put on the device, no for datasets that are read by index.
    /// </summary>
    public bool? DispatchBatches { get; init; }

    /// <summary>
    /// Whether every rank gets equally many batches of equal size, by repeating samples of the beginning at the end. Default true.
    /// When false some ranks may see one batch less or a shorter one.
    /// </summary>
    public bool EvenBatches { get; init; } = true;

    /// <summary>
    /// Whether shuffled loaders draw epoch e's order from <see cref="DataSeed"/> + e, so that an epoch can be replayed without those
    /// before it. Default false: rank 0 draws a seed from torch's global generator at each epoch. Ranks agree on the order either way.
    /// </summary>
    public bool UseSeedableSampler { get; init; }

    /// <summary>Seed of the seedable sampler. Default null: the seed that torch's global generator started from.</summary>
    public long? DataSeed { get; init; }

    /// <summary>Whether copies to a GPU return before they are done. Useful with pinned memory only. Default false.</summary>
    public bool NonBlocking { get; init; }

    /// <summary>
    /// Whether a dispose scope is open around every batch, so that a plain loop keeps memory flat: what the loop body creates is
    /// freed when the next batch is asked for. A tensor to be kept longer is detached (<c>DetachFromDisposeScope</c>). Default true;
    /// with false the caller disposes batches and everything made of them.
    /// </summary>
    /// <remarks>
    /// A dispose scope belongs to a thread, so <c>await foreach</c> opens none: there each batch is freed, but not what the loop
    /// body made of it.
    /// </remarks>
    public bool DisposeScopePerBatch { get; init; } = true;
}
