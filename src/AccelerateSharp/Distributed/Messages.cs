using System.Text;
using TorchSharp;

namespace AccelerateSharp.Distributed;

/// <summary>The words of the failures: rank, operation, sequence number, shapes, who is missing, and what to do.</summary>
internal static class Messages
{
    public static string Name(CollectiveKind kind) => kind switch
    {
        CollectiveKind.Barrier => "barrier",
        CollectiveKind.AllReduce => "all-reduce",
        CollectiveKind.Reduce => "reduce",
        CollectiveKind.Broadcast => "broadcast",
        CollectiveKind.AllGather => "all-gather",
        CollectiveKind.AllGatherUneven => "all-gather (list)",
        CollectiveKind.ReduceScatter => "reduce-scatter",
        CollectiveKind.AllToAll => "all-to-all",
        CollectiveKind.Gather => "gather",
        CollectiveKind.Scatter => "scatter",
        CollectiveKind.Send => "send",
        CollectiveKind.Receive => "receive",
        _ => $"unknown operation {(byte)kind}",
    };

    /// <summary>Operation, dtype, shape and what else must agree, for instance <c>all-reduce(sum, Float32 [2,3])</c>.</summary>
    public static string Describe(this CollectiveCall call) => Describe(call.Kind, call.ReduceOp, call.Root, call.Dtype, call.Shape, call.Tag);

    public static string Describe(CollectiveKind kind, ReduceOp op, int root, torch.ScalarType dtype, ReadOnlySpan<long> shape, int tag)
    {
        if (kind == CollectiveKind.Barrier) return "barrier()";
        var text = new StringBuilder(Name(kind)).Append('(');
        if (kind is CollectiveKind.AllReduce or CollectiveKind.Reduce or CollectiveKind.ReduceScatter) text.Append(op.ToString().ToLowerInvariant()).Append(", ");
        text.Append(dtype).Append(" [");
        for (var i = 0; i < shape.Length; i++) text.Append(i == 0 ? "" : ",").Append(shape[i]);
        text.Append(']');
        if (kind == CollectiveKind.Send) text.Append($", to {root}, tag {tag}");
        else if (kind == CollectiveKind.Receive) text.Append($", from {root}, tag {tag}");
        else if (root >= 0) text.Append($", root {root}");
        else if (tag > 0) text.Append($", part {tag}");
        return text.Append(')').ToString();
    }

    /// <summary>"rank 1" or "ranks 1, 3".</summary>
    public static string Ranks(IReadOnlyList<int> ranks) => (ranks.Count == 1 ? "rank " : "ranks ") + string.Join(", ", ranks);

    public static string Where(GroupHealth group, CollectiveCall? call) => call is null
        ? $"Rank {group.GlobalRank}"
        : $"Rank {group.GlobalRank}, {call.Describe()}, operation {call.SequenceNumber} of group '{group.Name}'";

    public static PeerLostException PeerLost(GroupHealth group, CollectiveCall? call, IReadOnlyList<int> missing, Exception? inner = null)
    {
        var who = missing.Count > 0
            ? $"{Ranks(missing)} ended without leaving the job"
            : "the rendezvous store (the launcher, or rank 0) cannot be reached any more";
        return new PeerLostException(
            $"{Where(group, call)}: {who}. Look at the output of {(missing.Count > 0 ? Ranks(missing) : "the launcher")} for the first cause, then restart the job.",
            inner)
        {
            Rank = group.GlobalRank,
            Collective = call is null ? null : Name(call.Kind),
            SequenceNumber = call?.SequenceNumber ?? 0,
            Shapes = call?.Describe(),
            MissingRanks = missing,
        };
    }

    public static PeerLostException ConnectionLost(GroupHealth group, CollectiveCall call, int peer, string detail)
    {
        var missing = peer >= 0 ? new[] { group.Ranks[peer] } : [];
        var who = peer >= 0 ? $"the connection to rank {group.Ranks[peer]} broke" : "a connection broke";
        return new PeerLostException(
            $"{Where(group, call)}: {who} ({detail.Trim()}). Either that process left the group (disposed it or ended) while others still needed it, or the network failed; look at its output.")
        {
            Rank = group.GlobalRank,
            Collective = Name(call.Kind),
            SequenceNumber = call.SequenceNumber,
            Shapes = call.Describe(),
            MissingRanks = missing,
        };
    }

    public static CollectiveTimeoutException Timeout(GroupHealth group, CollectiveCall call, IReadOnlyList<int> missing)
    {
        var text = new StringBuilder($"{Where(group, call)}: not finished within {group.Timeout.TotalSeconds:0.###} s.");
        if (missing.Count > 0)
        {
            text.Append($" Not arrived: {Ranks(missing)}");
            foreach (var rank in missing)
            {
                var index = group.Ranks.ToList().IndexOf(rank);
                text.Append(PendingOf(group, index) is { } pending
                    ? $"; rank {rank} waits in {pending.Description}, operation {pending.SequenceNumber}"
                    : $"; rank {rank} waits in no operation of this group");
            }
            text.Append(". Every rank must call the same operations in the same order: look for a branch that only some ranks take, or for a rank that is stuck or much slower");
        }
        text.Append(". Raise the group's time-out where the wait is legitimate.");
        return new CollectiveTimeoutException(text.ToString())
        {
            Rank = group.GlobalRank,
            Collective = Name(call.Kind),
            SequenceNumber = call.SequenceNumber,
            Shapes = call.Describe(),
            MissingRanks = missing,
        };
    }

    private static (long SequenceNumber, string Description)? PendingOf(GroupHealth group, int rank)
    {
        try
        {
            return group.PendingOf(rank);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return null;
        }
    }
}
