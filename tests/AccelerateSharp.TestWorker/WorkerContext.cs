using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.TestWorker;

/// <summary>What a scenario gets: its rank, its arguments, the store, and groups on it.</summary>
internal sealed class WorkerContext : IDisposable
{
    private readonly Lazy<IRendezvousStore> _store;

    public WorkerContext(string[] arguments)
    {
        Arguments = arguments;
        var worker = WorkerEnvironment.Read();
        Rank = worker.Rank;
        Size = worker.WorldSize;
        _store = new(() =>
        {
            var store = RendezvousStore.Connect(worker, TimeSpan.FromSeconds(60));
            store.Join(Rank);
            return store;
        });
    }

    public string[] Arguments { get; }

    public int Rank { get; }

    public int Size { get; }

    public IRendezvousStore Store => _store.Value;

    /// <summary>The group of all workers.</summary>
    public ProcessGroup World(TimeSpan? timeout = null, string name = "world") =>
        ProcessGroup.Create("gloo", Store, Rank, Size, timeout ?? TimeSpan.FromSeconds(60), name);

    public void Dispose()
    {
        if (_store.IsValueCreated) _store.Value.Dispose();
    }
}
