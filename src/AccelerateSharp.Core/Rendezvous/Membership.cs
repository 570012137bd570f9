using System.Threading.Channels;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Rendezvous;

/// <summary>Who is alive: one session per connected client, the ranks it announced, and the ranks that were lost.</summary>
/// <param name="rankLost">Told of each lost rank, with its attempt of the job.</param>
internal sealed class Membership(Action<int, int> rankLost)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, Session> _sessions = [];
    private readonly Dictionary<int, List<int>> _lost = [];
    private readonly Dictionary<(int Generation, int Rank), FailureReport> _failures = [];
    private TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _lastId;
    private bool _closed;

    public Session Open(int generation)
    {
        lock (_gate)
        {
            var session = new Session(++_lastId, generation);
            _sessions.Add(session.Id, session);
            session.Tell(SessionEvents.Welcome, session.Id);
            foreach (var rank in LostRanks(generation)) TellLost(session, rank);
            if (_closed) session.TellFarewell();
            return session;
        }
    }

    /// <summary>Announces a rank; null, or why it was refused.</summary>
    public string? Join(long id, int rank)
    {
        lock (_gate)
        {
            if (!_sessions.TryGetValue(id, out var session)) return $"rank {rank} has no session";
            var holder = _sessions.Values.FirstOrDefault(other => other.Generation == session.Generation && other.Ranks.Contains(rank));
            if (holder is not null && holder != session) return $"two workers say that they are rank {rank}";
            if (LostRanks(session.Generation).Contains(rank)) return $"rank {rank} was lost in this attempt of the job and cannot come back";
            session.Ranks.Add(rank);
            return null;
        }
    }

    /// <summary>The client says goodbye: its ranks are not lost.</summary>
    public void Leave(long id)
    {
        lock (_gate)
        {
            if (_sessions.Remove(id, out var session)) Ended(session);
        }
    }

    /// <summary>The connection of a session ended: without a goodbye, its ranks are lost, and everybody hears of it now.</summary>
    public void Disconnected(Session session)
    {
        lock (_gate)
        {
            if (!_sessions.Remove(session.Id)) return;
            if (!_closed)
            {
                foreach (var rank in session.Ranks) Lose(session.Generation, rank);
            }
            Ended(session);
        }
    }

    /// <summary>A rank says that it is about to end with an error: it is lost from now on.</summary>
    public void Fail(int generation, int rank, FailureReport report)
    {
        lock (_gate)
        {
            if (_failures.TryAdd((generation, rank), report)) Lose(generation, rank);
        }
    }

    /// <summary>
    /// What a rank said when it failed; null where it said nothing. A rank that ended without a word after another one was lost suffered
    /// from that.
    /// </summary>
    public FailureReport? FailureOf(int generation, int rank)
    {
        lock (_gate)
        {
            if (_failures.TryGetValue((generation, rank), out var report)) return report;
            return CauseOf(generation) is { Rank: var first } && first != rank ? new FailureReport(IsConsequence: true, $"it ended after rank {first} was lost") : null;
        }
    }

    /// <summary>The first rank of an attempt that was lost by itself, and what it said; null where none was.</summary>
    public (int Rank, FailureReport? Report)? CauseOf(int generation)
    {
        lock (_gate)
        {
            foreach (var rank in LostRanks(generation))
            {
                var report = _failures.GetValueOrDefault((generation, rank));
                if (report is not { IsConsequence: true }) return (rank, report);
            }
            return null;
        }
    }

    /// <summary>Completes when no client is connected any more.</summary>
    public Task WaitUntilEmptyAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        lock (_gate) return _sessions.Count == 0 ? Task.CompletedTask : _empty.Task.WaitAsync(timeout, cancellationToken);
    }

    /// <summary>Tells every client that the server leaves in good order.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            foreach (var session in _sessions.Values) session.TellFarewell();
        }
    }

    /// <summary>In the order in which they were lost.</summary>
    private List<int> LostRanks(int generation) => _lost.GetValueOrDefault(generation) ?? [];

    private void Lose(int generation, int rank)
    {
        if (!_lost.TryGetValue(generation, out var lost)) _lost[generation] = lost = [];
        if (lost.Contains(rank)) return;
        lost.Add(rank);
        rankLost(generation, rank);
        foreach (var other in _sessions.Values.Where(other => other.Generation == generation && !other.Ranks.Contains(rank))) TellLost(other, rank);
    }

    private void TellLost(Session session, int rank)
    {
        if (_failures.TryGetValue((session.Generation, rank), out var report)) session.Tell(SessionEvents.Failed, rank, report.Message);
        else session.Tell(SessionEvents.Lost, rank);
    }

    private void Ended(Session session)
    {
        session.End();
        if (_sessions.Count > 0) return;
        _empty.TrySetResult();
        _empty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>One connected client.</summary>
    internal sealed class Session(long id, int generation)
    {
        private readonly Channel<string> _events = Channel.CreateUnbounded<string>();

        public long Id => id;

        public int Generation => generation;

        public HashSet<int> Ranks { get; } = [];

        public ChannelReader<string> Events => _events.Reader;

        public void Tell(string what, long number, string text = "") => _events.Writer.TryWrite($"{what} {number} {text}\n");

        public void TellFarewell()
        {
            _events.Writer.TryWrite(SessionEvents.Farewell + "\n");
            End();
        }

        public void End() => _events.Writer.TryComplete();
    }
}
