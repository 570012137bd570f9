namespace AccelerateSharp.Data;

/// <summary>The number of the next epoch, shared by a loader and the views made of it.</summary>
/// <remarks>
/// It advances when an epoch starts, not when it is read to its end (as in the reference): a loop that always breaks off would
/// otherwise see the same beginning of the same order for ever.
/// </remarks>
internal sealed class EpochCounter
{
    private long _next;

    public void Set(long epoch) => Interlocked.Exchange(ref _next, epoch);

    public long Take() => Interlocked.Increment(ref _next) - 1;
}
