namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Cleans up behind a forward of a sharded model that threw.</summary>
internal sealed class ShardingRegion(ShardingEngine engine) : IForwardRegion, IDisposable
{
    public IDisposable? Enter(bool nested) => nested ? null : this;

    public void Dispose() => engine.AbandonForward();
}
