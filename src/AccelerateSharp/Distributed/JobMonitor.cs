using System.Runtime.CompilerServices;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Distributed;

/// <summary>One per process and store: hears of dead processes and of failures on other ranks, and tells the groups they concern.</summary>
internal sealed class JobMonitor
{
    private const string CountKey = "pg/failures/count";
    private static readonly ConditionalWeakTable<IRendezvousStore, JobMonitor> _monitors = [];
    private readonly Lock _gate = new();
    private readonly List<GroupHealth> _groups = [];
    private readonly IRendezvousStore _store;
    private CancellationTokenSource? _watch;
    private CancellationTokenRegistration _lost;

    private JobMonitor(IRendezvousStore store) => _store = store;

    public static JobMonitor For(IRendezvousStore store) => _monitors.GetValue(store, static s => new JobMonitor(s));

    public void Add(GroupHealth group)
    {
        lock (_gate)
        {
            _groups.Add(group);
            if (_groups.Count > 1) return;
            _watch = new CancellationTokenSource();
            var token = _watch.Token;
            new Thread(() => WatchFailures(token)) { IsBackground = true, Name = "accelerate failures" }.Start();
            new Thread(() => WatchPending(token)) { IsBackground = true, Name = "accelerate pending" }.Start();
        }
        _lost = _store.PeerLost.Register(CheckLostRanks);
    }

    public void Remove(GroupHealth group)
    {
        CancellationTokenSource? watch = null;
        lock (_gate)
        {
            if (!_groups.Remove(group) || _groups.Count > 0) return;
            watch = _watch;
            _watch = null;
        }
        _lost.Dispose();
        watch?.Cancel();
    }

    /// <summary>Asks the store again who is gone: its signal fires once, a second death comes without one.</summary>
    public void CheckLostRanks()
    {
        if (!_store.PeerLost.IsCancellationRequested) return;
        var lost = _store.LostRanks;
        foreach (var group in Groups()) group.OnLost(lost);
    }

    public void Publish(FailureRecord record)
    {
        try
        {
            _store.Set(Key(_store.Add(CountKey, 1)), record.ToBytes());
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The store is gone: the others hear of that themselves, and this rank throws its cause all the same.
        }
    }

    private static string Key(long number) => $"pg/failures/{number}";

    private GroupHealth[] Groups()
    {
        lock (_gate) return [.. _groups];
    }

    private void WatchFailures(CancellationToken cancellationToken)
    {
        for (long next = 1; !cancellationToken.IsCancellationRequested;)
        {
            try
            {
                var record = FailureRecord.Parse(_store.Wait(Key(next), TimeSpan.FromHours(1), cancellationToken));
                next++;
                if (record is null) continue;
                foreach (var group in Groups())
                    if (group.Name == record.Group) group.Fail(record.ToException(group.GlobalRank), publish: false);
            }
            catch (TimeoutException)
            {
                // Nobody failed within the hour: wait on.
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // Cancelled, or the store is gone, which PeerLost reports.
                return;
            }
        }
    }

    private void WatchPending(CancellationToken cancellationToken)
    {
        while (!cancellationToken.WaitHandle.WaitOne(1000))
        {
            try
            {
                CheckLostRanks();
                foreach (var group in Groups()) group.PublishPending();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // As above: without a store there is nobody to tell.
                return;
            }
        }
    }
}
