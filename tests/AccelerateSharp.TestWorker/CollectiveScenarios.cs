using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Each collective against an answer that every rank computes for itself, in many sizes and all dtypes.</summary>
internal static class CollectiveScenarios
{
    private static readonly ScalarType[] _integers = [ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64];
    private static readonly ScalarType[] _floats = [ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64];
    private static readonly ScalarType[] _complex = [ScalarType.ComplexFloat32, ScalarType.ComplexFloat64];
    private static readonly ScalarType[] _all = [ScalarType.Bool, .. _integers, .. _floats, .. _complex];
    private static readonly long[] _sizes = [0, 1, 1009, 10_007];
    private const long Million = 1_000_000;

    [Scenario]
    internal static void Collectives(WorkerContext context)
    {
        using var group = context.World();
        Assert.Equal(context.Rank, group.Rank);
        Assert.Equal(context.Size, group.Size);
        Assert.Equal("gloo", group.Backend);
        Everything(group);
        foreach (var dtype in _all) Reductions(group, dtype, Million, [ReduceOp.Sum]);
        Movements(group, ScalarType.Float32, Million);
        Odd(group);
        Objects(group);
    }

    [Scenario]
    internal static void SubGroups(WorkerContext context)
    {
        using var world = context.World();
        int[][] lists = [[0, 1], [2, 3], [3, 0, 1], [2], [1, 3], [0, 1, 2, 3]];
        var groups = lists.Select(world.CreateSubGroup).ToArray();
        for (var i = 0; i < lists.Length; i++)
        {
            var index = Array.IndexOf(lists[i], context.Rank);
            Assert.Equal(index < 0, groups[i] is null);
            if (groups[i] is not { } group) continue;
            Assert.Equal(index, group.Rank);
            Assert.Equal(lists[i], group.Ranks);
        }
        // All groups at once, each on its own thread: an operation of one must not wait for another.
        var threads = groups.OfType<ProcessGroup>().Select(g => Task.Factory.StartNew(() => Everything(g), TaskCreationOptions.LongRunning)).ToArray();
        Task.WaitAll(threads);

        // Queued first on one group, finished first on the other.
        if (context.Rank < 2)
        {
            using var held = ones(10);
            using var free = ones(10);
            var late = context.Rank == 0 ? world.AllReduceAsync(held) : null;
            groups[0]!.AllReduce(free);
            Assert.Equal(2f, free[0].item<float>());
            late ??= world.AllReduceAsync(held);
            late.Wait();
            Assert.Equal(4f, held[0].item<float>());
        }
        else
        {
            using var held = ones(10);
            world.AllReduce(held);
        }
        foreach (var group in groups) group?.Dispose();
    }

    private static void Everything(ProcessGroup group)
    {
        foreach (var dtype in _all)
        {
            foreach (var size in _sizes)
            {
                Reductions(group, dtype, size, OpsOf(dtype));
                Movements(group, dtype, size);
            }
        }
        group.Barrier();
    }

    private static ReduceOp[] OpsOf(ScalarType dtype) => _complex.Contains(dtype) ? [ReduceOp.Sum, ReduceOp.Avg]
        : _floats.Contains(dtype) ? Enum.GetValues<ReduceOp>()
        : [ReduceOp.Sum, ReduceOp.Min, ReduceOp.Max, ReduceOp.Product];

    private static void Reductions(ProcessGroup group, ScalarType dtype, long size, ReduceOp[] ops)
    {
        foreach (var op in ops)
        {
            using var scope = NewDisposeScope();
            var label = $"{op} {dtype} [{size}] rank {group.Rank}/{group.Size}";
            var expected = Combine(Enumerable.Range(0, group.Size).Select(r => Data(r, dtype, size)), dtype, op);

            var all = Data(group.Rank, dtype, size);
            group.AllReduce(all, op);
            Same(expected, all, "all-reduce " + label);

            var async = Data(group.Rank, dtype, size);
            var work = group.AllReduceAsync(async.alias(), op);
            work.Wait();
            Assert.True(work.IsCompleted);
            Same(expected, async, "async all-reduce " + label);

            var root = (int)(size % group.Size);
            var rooted = Data(group.Rank, dtype, size);
            group.Reduce(rooted, root, op);
            Same(group.Rank == root ? expected : Data(group.Rank, dtype, size), rooted, "reduce " + label);

            var whole = Combine(Enumerable.Range(0, group.Size).Select(r => Data(r, dtype, size * group.Size)), dtype, op);
            var part = empty(size, dtype);
            group.ReduceScatter(part, Data(group.Rank, dtype, size * group.Size), op);
            Same(whole.narrow(0, size * group.Rank, size), part, "reduce-scatter " + label);
        }
    }

    private static void Movements(ProcessGroup group, ScalarType dtype, long size)
    {
        using var scope = NewDisposeScope();
        var label = $"{dtype} [{size}] rank {group.Rank}/{group.Size}";
        var mine = Data(group.Rank, dtype, size);
        var ranks = Enumerable.Range(0, group.Size).ToArray();

        for (var root = 0; root < group.Size; root++)
        {
            var copied = mine.clone();
            group.Broadcast(copied, root);
            Same(Data(root, dtype, size), copied, $"broadcast from {root} " + label);
        }

        var gathered = empty(size * group.Size, dtype);
        group.AllGather(gathered, mine);
        Same(cat(ranks.Select(r => Data(r, dtype, size)).ToArray()), gathered, "all-gather " + label);

        // Rank r has size + 3 r elements.
        var uneven = ranks.Select(r => empty(size + (3 * r), dtype)).ToArray();
        group.AllGather(uneven, Data(group.Rank, dtype, size + (3 * group.Rank)));
        foreach (var r in ranks) Same(Data(r, dtype, size + (3 * r)), uneven[r], $"uneven all-gather of {r} " + label);

        var last = group.Size - 1;
        var parts = group.Rank == last ? ranks.Select(r => empty(size + (3 * r), dtype)).ToArray() : null;
        group.Gather(parts, Data(group.Rank, dtype, size + (3 * group.Rank)), last);
        foreach (var r in parts is null ? [] : ranks) Same(Data(r, dtype, size + (3 * r)), parts![r], $"gather of {r} " + label);

        var scattered = empty(size + (3 * group.Rank), dtype);
        group.Scatter(scattered, group.Rank == 0 ? [.. ranks.Select(r => Data(r + 7, dtype, size + (3 * r)))] : null, 0);
        Same(Data(group.Rank + 7, dtype, size + (3 * group.Rank)), scattered, "scatter " + label);

        var exchanged = empty(size * group.Size, dtype);
        group.AllToAll(exchanged, Data(group.Rank, dtype, size * group.Size));
        Same(cat(ranks.Select(r => Data(r, dtype, size * group.Size).narrow(0, size * group.Rank, size)).ToArray()), exchanged, "all-to-all " + label);

        // Rank r sends size + r + peer elements to each peer.
        long Rows(int from, int to) => size + from + to;
        var outgoing = ranks.Select(to => Rows(group.Rank, to)).ToArray();
        var incoming = ranks.Select(from => Rows(from, group.Rank)).ToArray();
        var swapped = empty(incoming.Sum(), dtype);
        group.AllToAll(swapped, Data(group.Rank, dtype, outgoing.Sum()), incoming, outgoing);
        var expected = ranks.Select(from =>
        {
            var before = Enumerable.Range(0, group.Rank).Sum(to => Rows(from, to));
            return Data(from, dtype, ranks.Sum(to => Rows(from, to))).narrow(0, before, Rows(from, group.Rank));
        });
        Same(cat(expected.ToArray()), swapped, "uneven all-to-all " + label);

        // Everybody sends to everybody before anybody receives.
        var others = ranks.Where(r => r != group.Rank).ToArray();
        var works = others.Select(r => group.SendAsync(mine, r, tag: 5)).ToList();
        var received = others.Select(_ => empty(size, dtype)).ToArray();
        works.AddRange(others.Select((r, i) => group.ReceiveAsync(received[i], r, tag: 5)));
        foreach (var work in works) work.Wait();
        for (var i = 0; i < others.Length; i++) Same(Data(others[i], dtype, size), received[i], $"receive from {others[i]} " + label);
        if (group.Size < 2 || group.Rank > 1) return;
        if (group.Rank == 0)
        {
            group.Send(mine, 1);
            return;
        }
        var single = empty(size, dtype);
        group.Receive(single, 0);
        Same(Data(0, dtype, size), single, "blocking receive " + label);
    }

    /// <summary>What is not a plain vector: 0-d, non-contiguous, views, gradients, NaN, rounding.</summary>
    private static void Odd(ProcessGroup group)
    {
        using var scope = NewDisposeScope();
        var size = group.Size;
        var ranksSum = size * (size - 1) / 2f;

        var scalar = tensor((float)group.Rank);
        group.AllReduce(scalar);
        Assert.Equal(0, scalar.dim());
        Assert.Equal(ranksSum, scalar.item<float>());

        var matrix = zeros(300, 40);
        var view = matrix.t()[TensorIndex.Slice(1, 40, 3)];
        Assert.False(view.is_contiguous());
        view.fill_(group.Rank);
        group.AllReduce(view);
        Assert.Equal(ranksSum, view.min().item<float>());
        Assert.Equal(ranksSum * 13 * 300, matrix.sum().item<float>());

        var into = zeros(7, 2L * size).t();
        group.AllGather(into, full(2, 7, group.Rank + 1f));
        for (var r = 0; r < size; r++) Assert.Equal(14f * (r + 1), into.narrow(0, 2 * r, 2).sum().item<float>());

        var leaf = nn.Parameter(ones(5) * (group.Rank + 1));
        group.Broadcast(leaf, 0);
        Assert.Equal(5f, leaf.sum().item<float>());
        Assert.True(leaf.requires_grad);

        var withNaN = group.Rank == 0 ? full(4, float.NaN) : ones(4);
        group.AllReduce(withNaN, ReduceOp.Max);
        Assert.True(withNaN.isnan().all().item<bool>());

        // Sums of 16-bit floats: single precision, rounded once, hence equal to this in every bit.
        foreach (var dtype in new[] { ScalarType.BFloat16, ScalarType.Float16 })
        {
            foreach (var length in new[] { 501L, 70_001 })
            {
                Tensor Random(int rank)
                {
                    using var generator = new Generator((ulong)(1234 + rank));
                    return (randn(length, generator: generator) * 100).to(dtype);
                }
                var sum = zeros(length);
                for (var r = 0; r < size; r++) sum += Random(r).to(ScalarType.Float32);
                var actual = Random(group.Rank);
                group.AllReduce(actual);
                Same(sum.to(dtype), actual, $"rounding of {dtype}");
            }
        }

        Assert.Throws<ArgumentException>(() => group.AllReduce(ones(3, ScalarType.Int64), ReduceOp.Avg));
        Assert.Throws<ArgumentException>(() => group.AllReduce(ones(3, ScalarType.ComplexFloat32), ReduceOp.Max));
        Assert.Throws<ArgumentException>(() => group.AllGather(empty(size + 1), ones(1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Broadcast(ones(1), size));
        Assert.Throws<ArgumentException>(() => group.Send(ones(1), group.Rank));

        // A tensor that its owner disposes at once.
        var brief = ones(200_000);
        using var kept = brief.alias();
        var work = group.AllReduceAsync(brief);
        brief.Dispose();
        work.Wait();
        Assert.Equal(size, kept[0].item<float>());
    }

    private sealed record Person(string Name, int Age, double[] Values);

    private static void Objects(ProcessGroup group)
    {
        var mine = new Person($"rank {group.Rank}", group.Rank, [.. Enumerable.Range(0, 1000 * group.Rank).Select(i => i / 3.0)]);
        var all = group.AllGatherObject(mine);
        Assert.Equal(Enumerable.Range(0, group.Size), all.Select(p => p.Age));
        Assert.Equal(1000 * (group.Size - 1), all[^1].Values.Length);
        Assert.Equal("rank 0", group.BroadcastObject(mine, 0).Name);
        Assert.Null(group.BroadcastObject<string?>(null, group.Size - 1));
        var gathered = group.GatherObject(mine.Name, 0);
        if (group.Rank == 0) Assert.Equal(Enumerable.Range(0, group.Size).Select(r => $"rank {r}"), gathered);
        else Assert.Null(gathered);
        var scattered = group.ScatterObject<string>(group.Rank == 0 ? [.. Enumerable.Range(0, group.Size).Select(r => new string('x', r * 3000))] : null, 0);
        Assert.Equal(group.Rank * 3000, scattered.Length);
    }

    /// <summary>Small whole numbers, so that sums are exact in every dtype; different on every rank.</summary>
    private static Tensor Data(int rank, ScalarType dtype, long size)
    {
        using var scope = NewDisposeScope();
        var values = (arange(size, ScalarType.Int64) * 7 + (rank * 3)).remainder(5);
        if (dtype == ScalarType.Bool) return (values < 3).MoveToOuterDisposeScope();
        values += 1;
        return (_complex.Contains(dtype) ? complex(values.to(ScalarType.Float64), -values.to(ScalarType.Float64)).to(dtype) : values.to(dtype)).MoveToOuterDisposeScope();
    }

    private static Tensor Combine(IEnumerable<Tensor> parts, ScalarType dtype, ReduceOp op)
    {
        using var scope = NewDisposeScope();
        var wide = _complex.Contains(dtype) ? ScalarType.ComplexFloat64 : _floats.Contains(dtype) ? ScalarType.Float64 : ScalarType.Int64;
        var all = stack(parts.Select(p => p.to(wide)));
        var result = op switch
        {
            ReduceOp.Sum => all.sum(0L),
            // Complex numbers as pairs of reals: libtorch divides them through a reciprocal.
            ReduceOp.Avg when _complex.Contains(dtype) => view_as_complex(view_as_real(all).sum(0L) / all.shape[0]),
            ReduceOp.Avg => all.sum(0L) / all.shape[0],
            ReduceOp.Min => all.amin([0]),
            ReduceOp.Max => all.amax([0]),
            _ => all.prod(0L),
        };
        return result.to(dtype).MoveToOuterDisposeScope();
    }

    private static void Same(Tensor expected, Tensor actual, string label)
    {
        if (expected.shape.SequenceEqual(actual.shape) && expected.dtype == actual.dtype && expected.eq(actual).all().item<bool>()) return;
        Assert.Fail($"{label}: expected {expected.ToString(TorchSharp.TensorStringStyle.Julia)}, got {actual.ToString(TorchSharp.TensorStringStyle.Julia)}");
    }
}
