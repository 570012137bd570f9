namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Watches the operations of one communicator: gives back what has ended, and finds those that never will.</summary>
internal sealed class NcclWatchdog
{
    private const int AskPeriod = 1000;
    private const int LongestAskPeriod = 60_000;
    private readonly Lock _gate = new();
    private readonly Queue<NcclWork> _pending = new();
    private readonly GroupContext _group;
    private readonly NcclJournal _journal;
    private readonly Func<string?> _asyncError;
    private readonly Func<long> _clock;
    private readonly long _patience;
    private long _lastLook;
    private NcclWork? _askedAbout;
    private long _nextAsk;
    private long _askPeriod;

    /// <param name="group">Whose operations these are.</param>
    /// <param name="journal">Notes every operation that is added here.</param>
    /// <param name="asyncError">What went wrong in NCCL's own threads; null as long as nothing did.</param>
    /// <param name="clock">Milliseconds, as <see cref="Environment.TickCount64"/>.</param>
    internal NcclWatchdog(GroupContext group, NcclJournal journal, Func<string?> asyncError, Func<long>? clock = null)
    {
        _group = group;
        _journal = journal;
        _asyncError = asyncError;
        _clock = clock ?? (static () => Environment.TickCount64);
        _patience = (long)Math.Min(5000, group.Timeout.TotalMilliseconds / 3);
    }

    /// <summary>True while an operation has not ended.</summary>
    internal bool IsBusy
    {
        get
        {
            Sweep();
            lock (_gate) return _pending.Count > 0;
        }
    }

    /// <summary>Takes an operation before it is launched, for the launch itself can block on a peer that does not come.</summary>
    internal void Add(NcclWork work)
    {
        _journal.Add(work.Call);
        lock (_gate)
        {
            _pending.Enqueue(work);
            _group.Health.Begin(work.Call);
        }
    }

    /// <summary>Lets go of what has ended. Operations end in the order of their start: they share a stream.</summary>
    internal void Sweep()
    {
        lock (_gate)
        {
            while (_pending.TryPeek(out var work) && work.TryFinish()) _group.Health.End(_pending.Dequeue().Call);
        }
    }

    /// <summary>One look at everything; a finding breaks the group.</summary>
    internal void Look()
    {
        Sweep();
        var health = _group.Health;
        if (health.Failure is not null) return;
        NcclWork? oldest;
        lock (_gate) _pending.TryPeek(out oldest);

        var now = _clock();
        var waited = oldest is null ? 0 : now - oldest.StartedAt;
        if (_asyncError() is { } error) health.Resolve(Broken(oldest?.Call, error));
        else if (oldest is not null && waited >= _group.Timeout.TotalMilliseconds) health.Fail(Messages.Timeout(health, oldest.Call, _journal.MissingFor(oldest.Call)));
        else if (now - _lastLook >= Math.Min(AskPeriod, _patience))
        {
            _lastLook = now;
            _journal.AnswerQuestions();
            if (oldest is null || waited < _patience) return;
            CompareWithOthers(oldest, now);
        }
    }

    /// <summary>Gives back the tensors of all that was pending when the group broke and its kernels had ended.</summary>
    internal void AbandonAll()
    {
        lock (_gate)
        {
            while (_pending.TryDequeue(out var work))
            {
                work.Abandon();
                _group.Health.End(work.Call);
            }
        }
    }

    /// <summary>Reads what the others answered to the last question, and asks again in ever longer intervals: a legitimate wait may take hours.</summary>
    private void CompareWithOthers(NcclWork work, long now)
    {
        if (_askedAbout != work) (_askedAbout, _nextAsk, _askPeriod) = (work, now, AskPeriod);
        if (now < _nextAsk) return;
        if (_journal.FindMismatch(work.Call) is { } mismatch)
        {
            _group.Health.Fail(mismatch);
            return;
        }

        _journal.Ask();
        _nextAsk = now + _askPeriod;
        _askPeriod = Math.Min(2 * _askPeriod, LongestAskPeriod);
    }

    private DistributedException Broken(CollectiveCall? call, string error) => new(
        $"{Messages.Where(_group.Health, call)}: NCCL broke down: {error}. Set NCCL_DEBUG=WARN for its own account.")
    {
        Rank = _group.GlobalRank,
        Collective = call is null ? null : Messages.Name(call.Kind),
        SequenceNumber = call?.SequenceNumber ?? 0,
        Shapes = call?.Describe(),
    };
}
