using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>Decides when the job starts, on which machines and with which ranks, and what follows a failure, a loss or an arrival.</summary>
/// <remarks>
/// One per job, in the launcher that hosts the store. It has no threads, clocks or connections of its own: what it is told comes in by
/// its methods, one at a time, and what it decides goes out as orders.
/// </remarks>
/// <param name="options">What the job needs.</param>
/// <param name="send">Sends an order to all launchers.</param>
/// <param name="clock">The time.</param>
/// <param name="causeOf">What the store knows of the worker of an attempt that failed first: it may have said why and still be ending.</param>
internal sealed class Coordinator(CoordinatorOptions options, Action<Order> send, TimeProvider clock, Func<int, string?> causeOf)
{
    /// <summary>How long after a worker that only suffered from a failure elsewhere the cause may take to be reported.</summary>
    private static readonly TimeSpan _causePatience = TimeSpan.FromSeconds(4);

    private readonly Dictionary<int, Member> _members = [];
    private readonly HashSet<int> _gone = [];
    private readonly List<string> _lost = [];
    private int _generation = -1, _latestKnown = -1;
    private int _restarts;
    private bool _isRunning;
    private Order? _end;
    private Report? _consequence;
    private DateTimeOffset? _joinDeadline, _lastCall, _causeDeadline;

    /// <summary>Whether the job is over.</summary>
    public bool IsOver => _end is not null;

    /// <summary>The attempt that runs, or ran last.</summary>
    public int Generation => _generation;

    /// <summary>How long nothing has to happen for <see cref="Tick"/> to be called; null for ever.</summary>
    public TimeSpan? Patience
    {
        get
        {
            var next = new[] { _joinDeadline, _lastCall, _causeDeadline }.Min();
            return IsOver || next is not { } at ? null : at > clock.GetUtcNow() ? at - clock.GetUtcNow() : TimeSpan.Zero;
        }
    }

    /// <summary>Begins to wait for the machines.</summary>
    public void Open() => Form();

    /// <summary>A launcher says something.</summary>
    public void Handle(Report report)
    {
        if (report.Kind == ReportKind.Ready) Join(report);
        else if (_members.TryGetValue(report.Member, out var member)) Handle(member, report);
    }

    /// <summary>A launcher is gone without a goodbye.</summary>
    public void Lose(int id)
    {
        _gone.Add(id);
        if (!_members.Remove(id, out var member) || IsOver) return;
        _lost.Add($"{member}, whose launcher is gone");
        if (_isRunning && member.State == MemberState.Running)
            Fail($"{member} is lost: its launcher was killed, or the machine cannot be reached", exitCode: 1);
        else if (!_isRunning) TryStart();
    }

    /// <summary>Time has passed.</summary>
    public void Tick()
    {
        var now = clock.GetUtcNow();
        if (IsOver) return;
        if (_causeDeadline <= now) Decide(_consequence!);
        else if (_lastCall <= now) TryStart();
        else if (_joinDeadline <= now) GiveUp();
    }

    private void Join(Report report)
    {
        // A report may be read after the news that its sender is gone.
        if (_gone.Contains(report.Member)) return;
        if (_end is not null)
        {
            send(_end with { For = report.Member });
            return;
        }
        if (report.RunId is { } runId && runId != options.RunId)
        {
            send(new Order
            {
                Kind = OrderKind.End,
                Generation = _generation,
                For = report.Member,
                ExitCode = 1,
                Text = $"the rendezvous serves the job '{options.RunId}', not '{runId}' (--rdzv_id)",
            });
            return;
        }
        if (_members.TryGetValue(report.Member, out var known)) known.State = MemberState.Ready;
        else _members.Add(report.Member, known = new Member(report));
        // The others are waited for from when there is somebody who waits: on a busy machine even the host's own launcher takes a while.
        if (!_isRunning && _members.Count == 1) _joinDeadline = clock.GetUtcNow() + options.JoinTimeout;
        // After the loss of the coordinator itself a new one goes on where the launchers remember the job to be.
        _latestKnown = Math.Max(_latestKnown, report.Generation);
        _restarts = Math.Max(_restarts, report.Restarts);
        if (_restarts > options.MaxRestarts) End(1, UsedUp("the machine that hosts the rendezvous was lost"));
        else if (!_isRunning) TryStart();
        else if (options.Machines.Max > _members.Values.Count(member => member.State != MemberState.Ready)) Reform($"{known} joins", restart: false);
        else Tell(known, $"the job already runs on all of its {options.Machines.Max} machine(s); this one waits for a place");
    }

    private void Handle(Member member, Report report)
    {
        switch (report.Kind)
        {
            case ReportKind.Interrupted:
                member.Signal = report.Code;
                break;
            case ReportKind.Leaving:
                _members.Remove(member.Id);
                _gone.Add(member.Id);
                member.Signal = report.Code;
                if (IsOver) return;
                _lost.Add($"{member}, which left");
                if (_isRunning && member.State == MemberState.Running) Interrupted(member);
                else if (!options.Machines.IsElastic && report.Code != 0) Interrupted(member);
                else if (!_isRunning) TryStart();
                break;
            case ReportKind.Failed when _isRunning && report.Generation == _generation:
                member.State = MemberState.Stopping;
                if (!report.IsConsequence)
                {
                    Decide(report);
                    break;
                }
                _consequence ??= report;
                _causeDeadline ??= clock.GetUtcNow() + _causePatience;
                // A launcher that got a signal is cause enough, or nobody is left who could tell another one.
                if (_members.Values.Any(other => other.Signal != 0) || _members.Values.All(other => other.State is not MemberState.Running)) Decide(_consequence);
                break;
            case ReportKind.Succeeded when _isRunning && report.Generation == _generation:
                member.State = MemberState.Succeeded;
                if (_members.Values.All(other => other.State is MemberState.Succeeded or MemberState.Ready)) End(0, "");
                break;
        }
    }

    /// <summary>A worker failed: by itself, or because of a machine whose launcher was told to end.</summary>
    private void Decide(Report failed)
    {
        var origin = _members.GetValueOrDefault(failed.Member);
        if (_members.Values.FirstOrDefault(member => member.Signal != 0) is { } interrupted && (failed.IsConsequence || interrupted == origin)) Interrupted(interrupted);
        else if (failed.IsConsequence && causeOf(_generation) is { } cause) Fail(cause, failed.Code);
        else Fail($"{(origin is null ? "a machine" : origin.ToString())}: {failed.Text}", failed.Code);
    }

    /// <summary>A signal ends a job of a fixed size; one that can do with fewer machines goes on without this one.</summary>
    private void Interrupted(Member member)
    {
        var text = $"{member} left, for it got {(member.Signal == 0 ? "no more work" : Posix.SignalName(member.Signal))}";
        // The store goes with its host.
        if (options.Machines.IsElastic && !member.IsHost) Reform(text, restart: false);
        else End(128 + member.Signal, text);
    }

    private void Fail(string text, int exitCode)
    {
        if (_restarts < options.MaxRestarts) Reform(text, restart: true);
        else End(exitCode, UsedUp(text));
    }

    private string UsedUp(string text) => options.MaxRestarts == 0 ? text
        : string.Create(CultureInfo.InvariantCulture, $"{text}; the {options.MaxRestarts} restart(s) of --max_restarts are used up");

    /// <summary>Ends this attempt; the launchers come back for the next.</summary>
    private void Reform(string text, bool restart)
    {
        if (restart) _restarts++;
        foreach (var member in _members.Values.Where(member => member.State != MemberState.Ready)) member.State = MemberState.Stopping;
        var why = restart ? string.Create(CultureInfo.InvariantCulture, $"; restart {_restarts} of {options.MaxRestarts}") : "";
        send(new Order { Kind = OrderKind.Stop, Generation = _generation, Restarts = _restarts, Text = text + why, RunId = options.RunId });
        Form();
    }

    private void Form()
    {
        _isRunning = false;
        _consequence = null;
        _causeDeadline = _lastCall = null;
        _joinDeadline = _members.Count == 0 ? null : clock.GetUtcNow() + options.JoinTimeout;
        TryStart();
    }

    private void TryStart()
    {
        var ready = Candidates(_members.Values.Where(member => member.State == MemberState.Ready));
        // Those that still end their workers come next.
        if (_members.Values.Any(member => member.State == MemberState.Stopping) || ready.Count < options.Machines.Min)
        {
            _lastCall = null;
            return;
        }
        if (ready.Count < options.Machines.Max)
        {
            _lastCall ??= clock.GetUtcNow() + options.LastCallTimeout;
            if (_lastCall > clock.GetUtcNow()) return;
        }
        Start(ready[..Math.Min(ready.Count, options.Machines.Max)]);
    }

    /// <summary>The machines that can start now, by rank: the host of the rendezvous first, for its address is the master's.</summary>
    private List<Member> Candidates(IEnumerable<Member> ready)
    {
        if (!options.RanksAreFixed)
            return [.. ready.OrderByDescending(member => member.IsHost).ThenBy(member => member.GivenRank ?? int.MaxValue).ThenBy(member => member.Rank ?? int.MaxValue).ThenBy(member => member.Id)];
        var byRank = new SortedDictionary<int, Member>();
        foreach (var member in ready.OrderBy(member => member.Id))
        {
            var rank = member.GivenRank ?? 0;
            if (byRank.TryAdd(rank, member) || member.IsTold) continue;
            member.IsTold = true;
            Tell(member, $"{byRank[rank].Host} is machine {rank} as well; this one waits until that one is gone (--machine_rank)");
        }
        return [.. byRank.Values];
    }

    private void Start(List<Member> members)
    {
        _generation = Math.Max(_generation, _latestKnown) + 1;
        (_isRunning, _joinDeadline, _lastCall) = (true, null, null);
        _lost.Clear();
        var places = new List<Place>();
        var first = 0;
        var firstOfRole = new Dictionary<string, int>();
        foreach (var member in members)
        {
            var roleFirst = firstOfRole.GetValueOrDefault(member.Role);
            places.Add(new Place(
                member.Id, member.Host, first, member.LocalWorldSize, roleFirst, members.Where(other => other.Role == member.Role).Sum(other => other.LocalWorldSize)));
            (member.State, member.Rank) = (MemberState.Running, places.Count - 1);
            firstOfRole[member.Role] = roleFirst + member.LocalWorldSize;
            first += member.LocalWorldSize;
        }
        send(new Order { Kind = OrderKind.Start, Generation = _generation, Restarts = _restarts, RunId = options.RunId, Places = places });
        foreach (var spare in _members.Values.Where(member => member.State == MemberState.Ready))
            Tell(spare, $"the job runs on all of its {options.Machines.Max} machine(s); this one waits for a place");
    }

    /// <summary>The machines did not come in time.</summary>
    private void GiveUp()
    {
        var here = _members.Values.ToList();
        var present = here.Count == 0 ? "none" : string.Join(", ", here.Select(member => member.State == MemberState.Stopping ? $"{member} (still ending its workers)" : member.ToString()));
        var missing = options.RanksAreFixed
            ? string.Join(", ", Enumerable.Range(0, options.Machines.Max).Where(rank => here.All(member => member.GivenRank != rank)).Select(rank => $"machine {rank}"))
            : here.Count >= options.Machines.Min ? "" : string.Create(CultureInfo.InvariantCulture, $"{options.Machines.Min - here.Count} more of at least {options.Machines.Min}");
        var last = _lost.Count == 0 ? "" : $"; last seen: {string.Join("; ", _lost)}";
        var waited = options.JoinTimeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture);
        End(1, $"waited {waited} s for the machines of the job. Missing: {(missing.Length == 0 ? "none" : missing)}. Here: {present}{last}. "
            + "Start `accelerate launch` there, or raise join_timeout (--rdzv_conf join_timeout=SECONDS)");
    }

    private void End(int exitCode, string text)
    {
        _end = new Order { Kind = OrderKind.End, Generation = _generation, Restarts = _restarts, ExitCode = exitCode, Text = text, RunId = options.RunId };
        send(_end);
    }

    private void Tell(Member member, string text) =>
        send(new Order { Kind = OrderKind.Say, Generation = _generation, For = member.Id, Text = text });
}
