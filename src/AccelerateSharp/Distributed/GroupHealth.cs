using System.Globalization;
using System.Text;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Distributed;

/// <summary>The one place where a group's first failure is kept, told to the other members and turned into an abort.</summary>
internal sealed class GroupHealth : IDisposable
{
    private static readonly TimeSpan _publishTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan _verdictPatience = TimeSpan.FromSeconds(3);
    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim _failed = new();
    private readonly JobMonitor _monitor;
    private readonly IRendezvousStore _store;
    private DistributedException? _failure;
    private Action? _abort;
    private readonly List<PendingCall> _pending = [];
    private bool _disposed;

    public GroupHealth(string name, int rank, IReadOnlyList<int> ranks, TimeSpan timeout, IRendezvousStore store)
    {
        Name = name;
        Ranks = ranks;
        Timeout = timeout;
        Rank = rank;
        _store = store;
        _monitor = JobMonitor.For(store);
        _monitor.Add(this);
    }

    public string Name { get; }

    public IReadOnlyList<int> Ranks { get; }

    public TimeSpan Timeout { get; }

    /// <summary>This process's rank within the group.</summary>
    public int Rank { get; }

    public int GlobalRank => Ranks[Rank];

    /// <summary>The first cause; null while the group works.</summary>
    public DistributedException? Failure => Volatile.Read(ref _failure);

    /// <param name="call">The operation that cannot run because of it, where there is one.</param>
    public void ThrowIfFailed(CollectiveCall? call = null)
    {
        if (Failure is { } failure) throw As(call, failure);
    }

    /// <summary>A failure as one operation reports it: a death that was noticed between two operations is told with this one's name.</summary>
    public DistributedException As(CollectiveCall? call, DistributedException failure) =>
        call is not null && failure is PeerLostException { Collective: null, MissingRanks.Count: > 0 } lost ? Messages.PeerLost(this, call, lost.MissingRanks, lost) : failure.Copy();

    /// <summary>What ends the backend's pending operations; runs at once where the group has failed already.</summary>
    public void OnFailure(Action abort)
    {
        lock (_gate)
        {
            if (_failure is null)
            {
                _abort = abort;
                return;
            }
        }
        abort();
    }

    /// <summary>Breaks the group for good. The first cause wins and is returned; it is told to the other members unless they know it.</summary>
    public DistributedException Fail(DistributedException cause, bool publish = true)
    {
        Action? abort;
        lock (_gate)
        {
            if (_failure is { } first) return first;
            Volatile.Write(ref _failure, cause);
            abort = _abort;
            _abort = null;
        }
        _failed.Set();
        abort?.Invoke();
        // Bounded: the store may be what died, and a rank that throws must not hang in telling why.
        if (publish && !_store.PeerLost.IsCancellationRequested)
            Task.Run(() => _monitor.Publish(FailureRecord.From(Name, cause))).Wait(_publishTimeout);
        return cause;
    }

    /// <summary>
    /// Turns a broken connection into its cause: waits briefly for word of a dead process or of another member's failure, since a socket
    /// often breaks before that word arrives and the peer behind it may be a victim itself.
    /// </summary>
    public DistributedException Resolve(DistributedException observed)
    {
        _monitor.CheckLostRanks();
        _failed.Wait(_verdictPatience);
        return Fail(observed);
    }

    /// <summary>Notes an operation that this rank waits in, so that a time-out elsewhere can tell who arrived and where the others are.</summary>
    public void Begin(CollectiveCall call)
    {
        lock (_gate) _pending.Add(new PendingCall(call, Environment.TickCount64));
    }

    /// <summary>An operation noted by <see cref="Begin"/> has ended.</summary>
    public void End(CollectiveCall call)
    {
        lock (_gate) _pending.RemoveAll(p => ReferenceEquals(p.Call, call));
    }

    /// <summary>Tells the store what this rank waits in, where it has waited for long. Called by the monitor once a second.</summary>
    public void PublishPending()
    {
        string text;
        lock (_gate)
        {
            if (_pending.Count == 0 || _pending[0].Published || _failure is not null) return;
            var oldest = _pending[0];
            if (Environment.TickCount64 - oldest.Since < Math.Min(5_000, Timeout.TotalMilliseconds / 3)) return;
            oldest.Published = true;
            text = string.Create(CultureInfo.InvariantCulture, $"{oldest.Call.SequenceNumber} {oldest.Call.Describe()}");
        }
        _store.Set(PendingKey(Rank), Encoding.UTF8.GetBytes(text));
    }

    /// <summary>What a member last said it was waiting in (sequence number and description); null where it never waited for long.</summary>
    public (long SequenceNumber, string Description)? PendingOf(int rank)
    {
        if (_store.TryGet(PendingKey(rank)) is not { } bytes) return null;
        var text = Encoding.UTF8.GetString(bytes);
        var space = text.IndexOf(' ', StringComparison.Ordinal);
        return space > 0 && long.TryParse(text.AsSpan(0, space), CultureInfo.InvariantCulture, out var number)
            ? (number, text[(space + 1)..])
            : null;
    }

    /// <summary>The monitor's word that processes are gone; empty: the store itself is.</summary>
    public void OnLost(IReadOnlyList<int> lost)
    {
        var missing = lost.Where(Ranks.Contains).Order().ToArray();
        if (lost.Count > 0 && missing.Length == 0) return;
        CollectiveCall? call;
        lock (_gate) call = _pending.Count > 0 ? _pending[0].Call : null;
        Fail(Messages.PeerLost(this, call, missing), publish: false);
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed) return;
            _disposed = true;
            _abort = null;
        }
        _monitor.Remove(this);
    }

    private string PendingKey(int rank) => $"pg/{Name}/pending/{rank}";

    private sealed class PendingCall(CollectiveCall call, long since)
    {
        public CollectiveCall Call { get; } = call;

        public long Since { get; } = since;

        public bool Published { get; set; }
    }
}
