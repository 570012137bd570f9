using System.Text;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>Compares the headers of all ranks. Every rank sees the same ones, so every rank comes to the same verdict.</summary>
internal readonly ref struct GlooAgreement(GroupContext group, CollectiveCall call, GlooCollectives headers)
{
    public void Check()
    {
        var first = headers.HeaderOf(0);
        for (var r = 0; r < group.Size; r++)
        {
            var header = headers.HeaderOf(r);
            if (header.Kind == GlooHeader.Leaving) throw Left(r);
            if (header.Kind != first.Kind) throw Mismatch("operations");
        }
        for (var r = 1; r < group.Size; r++)
        {
            var header = headers.HeaderOf(r);
            if (header.Dtype != first.Dtype) throw Mismatch("dtypes");
            if (header.Tag != first.Tag) throw Mismatch("the part that they work on");
            if (header.ReduceOp != first.ReduceOp) throw Mismatch("reductions");
            if (header.Root != first.Root) throw Mismatch("roots");
            if (AgreesOnShape && !header.SameShape(first)) throw Mismatch("shapes");
        }
        CheckSplits();
    }

    private bool AgreesOnShape => call.Kind is not
        (CollectiveKind.AllGatherUneven or CollectiveKind.AllToAll or CollectiveKind.Gather or CollectiveKind.Scatter);

    private void CheckSplits()
    {
        for (var r = 0; r < group.Size; r++)
        {
            for (var peer = 0; peer < group.Size; peer++)
            {
                var agree = call.Kind switch
                {
                    CollectiveKind.AllGatherUneven => headers.OutputSplitsOf(r)[peer] == headers.HeaderOf(peer).Count,
                    CollectiveKind.AllToAll => headers.OutputSplitsOf(r)[peer] == headers.InputSplitsOf(peer)[r],
                    CollectiveKind.Gather when r == call.Root => headers.OutputSplitsOf(r)[peer] == headers.HeaderOf(peer).Count,
                    CollectiveKind.Scatter when r == call.Root => headers.InputSplitsOf(r)[peer] == headers.HeaderOf(peer).Count,
                    _ => true,
                };
                if (!agree) throw Mismatch($"sizes (rank {group.Ranks[r]} and rank {group.Ranks[peer]} first)");
            }
        }
    }

    private PeerLostException Left(int rank) => new(
        $"{Messages.Where(group.Health, call)}: rank {group.Ranks[rank]} has left the group (it disposed its process group or came to its end). "
        + "Every rank must make the same calls before one leaves: look for a loop that ends earlier there, or for an error in its output.")
    {
        Rank = group.GlobalRank,
        Collective = Messages.Name(call.Kind),
        SequenceNumber = call.SequenceNumber,
        Shapes = call.Describe(),
        MissingRanks = [group.Ranks[rank]],
    };

    private CollectiveMismatchException Mismatch(string what)
    {
        var all = new StringBuilder();
        for (var r = 0; r < group.Size; r++)
        {
            var header = headers.HeaderOf(r);
            all.Append(r == 0 ? "" : "; ").Append($"rank {group.Ranks[r]}: {header.Describe()}");
            if (call.Kind is CollectiveKind.AllToAll) all.Append($" sends [{string.Join(',', headers.InputSplitsOf(r).ToArray())}] receives [{string.Join(',', headers.OutputSplitsOf(r).ToArray())}]");
            if (call.Kind is CollectiveKind.AllGatherUneven) all.Append($" expects [{string.Join(',', headers.OutputSplitsOf(r).ToArray())}] elements");
        }
        return new CollectiveMismatchException(
            $"{Messages.Where(group.Health, call)}: the ranks do not agree on {what}. {all}. "
            + "Every rank must call the same operations in the same order with matching tensors: look for a branch that only some ranks take, or for a batch of another size.")
        {
            Rank = group.GlobalRank,
            Collective = Messages.Name(call.Kind),
            SequenceNumber = call.SequenceNumber,
            Shapes = all.ToString(),
        };
    }
}
