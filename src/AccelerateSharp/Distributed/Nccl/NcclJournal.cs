using System.Globalization;
using System.Text;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Which collectives this rank started last, shown to the others when one of them waits for long.</summary>
/// <remarks>
/// NCCL does not compare what the ranks call: a mismatch hangs, or ends on some of them. So a rank whose operation does not end asks in the
/// store; everybody's watchdog answers with its latest operations, and whoever finds another description under the same number has
/// the cause, long before the time-out. On the way of a healthy operation this costs one array element.
/// </remarks>
internal sealed class NcclJournal(GroupContext group)
{
    /// <summary>More than a rank can be ahead of another while that one's oldest operation is still pending, in any sane program.</summary>
    private const int Length = 64;

    private readonly Lock _gate = new();
    private readonly CollectiveCall?[] _latest = new CollectiveCall?[Length];
    private long _answered;

    /// <summary>Notes a collective. Point-to-point operations are not numbered across the group and have no place here.</summary>
    internal void Add(CollectiveCall call)
    {
        if (call.IsPointToPoint) return;
        lock (_gate) _latest[call.SequenceNumber % Length] = call;
    }

    /// <summary>Asks everybody to show what they did; the answers come within about a second.</summary>
    internal void Ask()
    {
        Publish();
        _answered = group.Store.Add(group.Key("nccl/asked"), 1);
    }

    /// <summary>Shows this rank's latest operations where somebody asked since the last time.</summary>
    internal void AnswerQuestions()
    {
        // Adding nothing reads the counter.
        var asked = group.Store.Add(group.Key("nccl/asked"), 0);
        if (asked == _answered) return;
        Publish();
        _answered = asked;
    }

    /// <summary>The mismatch between what this rank waits in and what another did under the same number; null where none shows (yet).</summary>
    internal CollectiveMismatchException? FindMismatch(CollectiveCall call)
    {
        if (call.IsPointToPoint) return null;
        for (var rank = 0; rank < group.Size; rank++)
        {
            if (rank == group.Rank || Read(rank) is not { } others) continue;
            if (others.TryGetValue(call.SequenceNumber, out var theirs) && Differs(call, theirs)) return Mismatch(group, call, rank, theirs);
        }

        return null;
    }

    /// <summary>Global ranks that have not started the operation yet, as far as is known. For a point-to-point one: the peer.</summary>
    internal IReadOnlyList<int> MissingFor(CollectiveCall call)
    {
        if (call.IsPointToPoint) return [group.Ranks[call.Root]];
        var missing = new List<int>();
        for (var rank = 0; rank < group.Size; rank++)
            if (rank != group.Rank && (Read(rank) is not { Count: > 0 } others || others.Keys.Max() < call.SequenceNumber)) missing.Add(group.Ranks[rank]);
        return missing;
    }

    /// <summary>Whether another rank's description contradicts this call. Where sizes are each rank's own, only what comes before them is compared.</summary>
    internal static bool Differs(CollectiveCall call, string theirs) => Comparable(call, theirs) != Comparable(call, call.Describe());

    internal static CollectiveMismatchException Mismatch(GroupContext group, CollectiveCall call, int rank, string theirs)
    {
        var shapes = $"rank {group.GlobalRank}: {call.Describe()}; rank {group.Ranks[rank]}: {theirs}";
        return new CollectiveMismatchException(
            $"{Messages.Where(group.Health, call)}: rank {group.Ranks[rank]} called {theirs} as its operation {call.SequenceNumber}. "
            + "Every rank must call the same operations in the same order with the same dtypes and shapes: look for a branch that only some ranks take, or for tensors whose size depends on the rank.")
        {
            Rank = group.GlobalRank,
            Collective = Messages.Name(call.Kind),
            SequenceNumber = call.SequenceNumber,
            Shapes = shapes,
        };
    }

    private static string Comparable(CollectiveCall call, string description)
    {
        var ownShapes = call.Kind is CollectiveKind.AllGatherUneven or CollectiveKind.AllToAll or CollectiveKind.Gather or CollectiveKind.Scatter;
        var (open, close) = (description.IndexOf('[', StringComparison.Ordinal), description.IndexOf(']', StringComparison.Ordinal));
        return ownShapes && open >= 0 && close > open ? description.Remove(open, close - open + 1) : description;
    }

    private void Publish()
    {
        var text = new StringBuilder();
        lock (_gate)
        {
            foreach (var call in _latest)
                if (call is not null) text.Append(CultureInfo.InvariantCulture, $"{call.SequenceNumber} {call.Describe()}\n");
        }

        group.Store.Set(Key(group.Rank), Encoding.UTF8.GetBytes(text.ToString()));
    }

    private Dictionary<long, string>? Read(int rank)
    {
        if (group.Store.TryGet(Key(rank)) is not { } bytes) return null;
        var entries = new Dictionary<long, string>();
        foreach (var line in Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var space = line.IndexOf(' ', StringComparison.Ordinal);
            if (space > 0 && long.TryParse(line.AsSpan(0, space), CultureInfo.InvariantCulture, out var number)) entries[number] = line[(space + 1)..];
        }

        return entries;
    }

    private string Key(int rank) => group.Key($"nccl/journal/{rank}");
}
