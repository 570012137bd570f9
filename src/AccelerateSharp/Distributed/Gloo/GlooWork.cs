namespace AccelerateSharp.Distributed.Gloo;

/// <summary>The end of an operation that runs on another thread of this process.</summary>
internal sealed class GlooWork : WorkCompletion
{
    private readonly ManualResetEventSlim _done = new();
    private DistributedException? _error;

    public override bool IsCompleted => _done.IsSet;

    public override void Wait() => Synchronize();

    public override void Synchronize()
    {
        _done.Wait();
        if (_error is { } error) throw error.Copy();
    }

    public void Complete(CollectiveCall call, DistributedException? error, GroupHealth health)
    {
        _error = error is null ? null : health.As(call, error);
        _done.Set();
    }
}
