using System.Collections.Concurrent;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>One launcher's connection to the coordinator: it is a member of the job for as long as this lasts.</summary>
internal sealed class MachineConnection : IDisposable
{
    /// <summary>The coordinator's machine may be what died: what it no longer hears must not hold up this one.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(3);

    /// <summary>Without its last words a worker that only suffered would pass for the cause.</summary>
    private static readonly TimeSpan _wordsPatience = TimeSpan.FromSeconds(10);

    private readonly RendezvousClient _store;
    private readonly BlockingCollection<Report> _outgoing = [];
    private readonly CancellationTokenSource _ends = new();
    private readonly Thread _sender, _reader;
    private readonly int _member;

    private MachineConnection(RendezvousClient store, Action<LaunchEvent> events)
    {
        _store = store;
        _member = (int)store.Add(Channel.Members, 1);
        store.Join(_member);
        var next = Channel.Orders(store);
        _sender = new Thread(Send, 256 * 1024) { IsBackground = true, Name = "reports" };
        _reader = new Thread(() => Read(next, events), 256 * 1024) { IsBackground = true, Name = "orders" };
        _sender.Start();
        _reader.Start();
    }

    /// <summary>Connects, trying again until the coordinator is there.</summary>
    /// <exception cref="TimeoutException">It is not there in time.</exception>
    /// <exception cref="RendezvousException">It refuses the token, or went away at once.</exception>
    public static MachineConnection Open(string endpoint, string token, TimeSpan timeout, Action<LaunchEvent> events, CancellationToken cancellationToken)
    {
        var store = RendezvousClient.Connect(endpoint, () => token, Channel.Generation, timeout, cancellationToken: cancellationToken);
        try
        {
            return new MachineConnection(store, events);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>Tells the coordinator something, after what it was told before; does not wait.</summary>
    public void Post(Report report) => _outgoing.Add(report with { Member = _member });

    /// <summary>The place of this launcher among those of an attempt; null where it has none.</summary>
    public int? IndexIn(IReadOnlyList<Place> places)
    {
        for (var i = 0; i < places.Count; i++)
        {
            if (places[i].Member == _member) return i;
        }
        return null;
    }

    /// <summary>Whether an order is for this launcher.</summary>
    public bool Concerns(Order order) => order.For is null || order.For == _member;

    /// <summary>What a worker of an attempt left in the store, or null.</summary>
    public FailureReport? FailureOf(int generation, int rank)
    {
        var answer = Task.Run(() => _store.FailureOf(generation, rank));
        try
        {
            return answer.Wait(_wordsPatience) ? answer.Result : null;
        }
        catch (AggregateException e) when (e.InnerException is RendezvousException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Says what is left to say, and goodbye.</summary>
    public void Dispose()
    {
        _outgoing.CompleteAdding();
        _sender.Join(_patience);
        _ends.Cancel();
        _reader.Join(_patience);
        _store.Dispose();
    }

    private void Send()
    {
        var next = 0;
        try
        {
            foreach (var report in _outgoing.GetConsumingEnumerable()) Channel.Post(_store, report, ref next);
        }
        catch (Exception e) when (e is RendezvousException or ObjectDisposedException)
        {
            // The reader hears of it as well.
        }
    }

    private void Read(int next, Action<LaunchEvent> events)
    {
        try
        {
            for (; ; next++) events(new LaunchEvent.Told(Channel.WaitForOrder(_store, next, _ends.Token), this));
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or RendezvousException)
        {
            if (!_ends.IsCancellationRequested) events(new LaunchEvent.Told(null, this));
        }
    }
}
