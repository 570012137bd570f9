using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>Each collective against an answer that every rank computes for itself.</summary>
internal static class Collectives
{
    private static readonly ScalarType[] _types = [ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16, ScalarType.Int64];
    private static readonly long[] _sizes = [1, 1009, 1_000_003];

    public static void Run(Accelerator accelerator, Findings findings)
    {
        using var noGradient = no_grad();
        foreach (var type in _types)
        {
            foreach (var size in _sizes)
            {
                using var scope = NewDisposeScope();
                Tensors(accelerator, findings, type, size);
            }
        }
        Objects(accelerator, findings);
        if (accelerator.ProcessGroup is { } group) Groups(accelerator, group, findings);
        findings.Note = $"{_types.Length} dtypes, up to {_sizes[^1]:N0} elements";
    }

    private static void Tensors(Accelerator accelerator, Findings findings, ScalarType type, long size)
    {
        var (rank, world, name) = (accelerator.ProcessIndex, accelerator.NumProcesses, $"{type} of {size:N0}");
        // Small whole numbers: their sums are exact in every dtype.
        var pattern = (arange(size, ScalarType.Int64, accelerator.Device) % 7).to(type);
        var mine = pattern + rank;
        Same(findings, accelerator.Reduce(mine), (pattern * world) + (world * (world - 1) / 2), $"sum, {name}");
        Same(findings, accelerator.Reduce(mine, "max"), pattern + (world - 1), $"maximum, {name}");
        Same(findings, accelerator.Gather(mine), cat([.. Enumerable.Range(0, world).Select(r => pattern + r)]), $"gather, {name}");
        var sent = mine.clone();
        accelerator.Broadcast(sent, world - 1);
        Same(findings, sent, pattern + (world - 1), $"broadcast from rank {world - 1}, {name}");
        var uneven = accelerator.PadAcrossProcesses(full([rank + 1, 2], 1, type, accelerator.Device));
        findings.Equal([world, 2], uneven.shape, $"padded shape, {name}");
    }

    private static void Objects(Accelerator accelerator, Findings findings)
    {
        var (rank, world) = (accelerator.ProcessIndex, accelerator.NumProcesses);
        findings.Equal(Enumerable.Range(0, world).Select(r => $"rank {r}"), accelerator.GatherObject<string>([$"rank {rank}"]), "gather of objects");
        findings.Expect(accelerator.BroadcastObject($"from {rank}", world - 1) == $"from {world - 1}", "broadcast of an object");
        findings.Expect(!accelerator.CheckTrigger(), "a trigger that nobody has set");
        if (rank == world - 1) accelerator.SetTrigger();
        findings.Expect(accelerator.CheckTrigger(), "one rank's trigger does not reach this rank");
    }

    private static void Groups(Accelerator accelerator, ProcessGroup group, Findings findings)
    {
        using var scope = NewDisposeScope();
        var (rank, world) = (group.Rank, group.Size);
        var input = arange(world * 5, ScalarType.Float32, accelerator.Device) + rank;
        var part = empty(5, device: accelerator.Device);
        group.ReduceScatter(part, input);
        Same(findings, part, (arange(5, ScalarType.Float32, accelerator.Device) + (rank * 5)) * world + (world * (world - 1) / 2f), "reduce-scatter");

        var received = empty(world, device: accelerator.Device);
        group.AllToAll(received, arange(world, ScalarType.Float32, accelerator.Device) + (rank * world));
        Same(findings, received, (arange(world, ScalarType.Float32, accelerator.Device) * world) + rank, "all-to-all");
        group.Barrier();
    }

    private static void Same(Findings findings, Tensor actual, Tensor expected, string what)
    {
        if (!actual.shape.SequenceEqual(expected.shape))
        {
            findings.Equal(expected.shape, actual.shape, $"shape of the {what}");
            return;
        }
        var wrong = actual.ne(expected).sum().item<long>();
        findings.Expect(wrong == 0, $"{what}: {wrong:N0} of {expected.numel():N0} elements are wrong");
    }
}
