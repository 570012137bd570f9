namespace AccelerateSharp;

/// <summary>How gradients are accumulated over several batches before a step.</summary>
/// <remarks>
/// The reference has an <c>adjust_scheduler</c> flag that never takes effect; it has no counterpart here: a scheduler does not
/// advance while gradients accumulate.
/// </remarks>
public sealed record GradientAccumulationPlugin
{
    /// <summary>Batches per optimizer step, at least 1. Default 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int NumSteps
    {
        get;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1, nameof(NumSteps));
            field = value;
        }
    } = 1;

    /// <summary>Whether the last batch of a loader always ends an accumulation window, also a short one. Default true.</summary>
    public bool SyncWithDataLoader { get; init; } = true;

    /// <summary>
    /// Whether gradients are reduced over the ranks after every batch although the step waits. Costs communication, saves the memory
    /// of unreduced gradients under sharding. Default false.
    /// </summary>
    public bool SyncEachBatch { get; init; }
}
