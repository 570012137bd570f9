using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>Every collective against the answer computed on this rank alone.</summary>
internal sealed class CollectiveChecks(Job job, ProcessGroup group)
{
    private readonly int _rank = group.Rank;
    private readonly int _size = group.Size;
    private readonly int _last = group.Size - 1;

    public void Run(IReadOnlyList<long> sizes)
    {
        foreach (var size in sizes)
        {
            foreach (var dtype in Values.Reducible)
            {
                foreach (var operation in Enum.GetValues<ReduceOp>().Where(operation => IsDefined(dtype, operation))) Reductions(size, dtype, operation);
            }

            foreach (var dtype in Values.Movable) Movements(size, dtype);
        }

        group.Barrier();
    }

    public void Shapes()
    {
        using var scope = NewDisposeScope();
        var strided = Of(_rank, 600, ScalarType.Float32).view(20, 30).t();
        group.AllReduce(strided);
        Check(strided.contiguous().view(-1), Values.Reduced(Ranks, 600, ScalarType.Float32, job.Device, ReduceOp.Sum).view(20, 30).t().contiguous().view(-1), "all-reduce of a transposed tensor");

        var scalar = tensor(_rank + 1.5f, device: job.Device);
        group.AllReduce(scalar, ReduceOp.Max);
        Check(scalar, tensor(_size + 0.5f, device: job.Device), "all-reduce of a scalar");

        var rows = Of(_rank, 30, ScalarType.Int16).view(10, 3)[TensorIndex.Slice(null, null, 2)];
        group.Broadcast(rows, _last);
        Check(rows.contiguous(), Values.Of(_last, 30, ScalarType.Int16, job.Device).view(10, 3)[TensorIndex.Slice(null, null, 2)].contiguous(), "broadcast into every other row");

        var objects = group.AllGatherObject($"rank {_rank}");
        job.Check(objects.SequenceEqual(Enumerable.Range(0, _size).Select(rank => $"rank {rank}")), "all-gather of objects");
    }

    public void Transfers(IReadOnlyList<long> sizes)
    {
        using var scope = NewDisposeScope();
        foreach (var size in sizes)
        {
            // All send first and receive then: nobody may wait for anybody's receive.
            var (next, previous) = ((_rank + 1) % _size, (_rank + _last) % _size);
            if (_size == 1) continue;
            var received = empty(size, ScalarType.Float32, job.Device);
            var sent = group.SendAsync(Of(_rank, size, ScalarType.Float32), next);
            group.Receive(received, previous);
            sent.Wait();
            Check(received, Values.Of(previous, size, ScalarType.Float32, job.Device), $"send and receive in a ring, {size} elements");
        }

        group.Barrier();
    }

    private IEnumerable<int> Ranks => Enumerable.Range(0, _size);

    private static bool IsDefined(ScalarType dtype, ReduceOp operation) => operation switch
    {
        ReduceOp.Avg => Values.IsFloat(dtype) || Values.IsComplex(dtype),
        ReduceOp.Sum => true,
        _ => !Values.IsComplex(dtype),
    };

    private void Reductions(long size, ScalarType dtype, ReduceOp operation)
    {
        using var scope = NewDisposeScope();
        var what = $"{operation} of {size} {dtype} over {_size} ranks";
        var exact = operation != ReduceOp.Avg;
        var product = operation == ReduceOp.Product;
        var expected = Values.Reduced(Ranks, size, dtype, job.Device, operation);

        var all = Values.Of(_rank, size, dtype, job.Device, product);
        group.AllReduce(all, operation);
        Check(all, expected, "all-reduce, " + what, exact);

        var rooted = Values.Of(_rank, size, dtype, job.Device, product);
        group.Reduce(rooted, _last, operation);
        Check(rooted, _rank == _last ? expected : Values.Of(_rank, size, dtype, job.Device, product), "reduce, " + what, exact);

        var whole = Values.Of(_rank, size * _size, dtype, job.Device, product);
        var part = empty(size, dtype, job.Device);
        group.ReduceScatter(part, whole, operation);
        Check(part, Values.Reduced(Ranks, size * _size, dtype, job.Device, operation).narrow(0, size * _rank, size), "reduce-scatter, " + what, exact);
    }

    private void Movements(long size, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var what = $"{size} {dtype} over {_size} ranks";
        var mine = Of(_rank, size, dtype);
        Tensor Whole(Func<int, long> length) => cat([.. Ranks.Select(rank => Values.Of(rank, length(rank), dtype, job.Device).to(Comparable(dtype)))]).to(dtype);
        Tensor Empty(long length) => empty(length, dtype, job.Device);

        var shared = Of(_rank, size, dtype);
        group.Broadcast(shared, _last);
        Check(shared, Values.Of(_last, size, dtype, job.Device), "broadcast, " + what);

        var gathered = Empty(size * _size);
        group.AllGather(gathered, mine);
        Check(gathered, Whole(_ => size), "all-gather, " + what);

        var parts = Ranks.Select(rank => Empty(size + rank)).ToArray();
        group.AllGather(parts, Of(_rank, size + _rank, dtype));
        foreach (var rank in Ranks) Check(parts[rank], Values.Of(rank, size + rank, dtype, job.Device), "uneven all-gather, " + what);

        var collected = _rank == 0 ? Ranks.Select(rank => Empty(size + rank)).ToArray() : null;
        group.Gather(collected, Of(_rank, size + _rank, dtype), 0);
        if (collected is not null)
            foreach (var rank in Ranks) Check(collected[rank], Values.Of(rank, size + rank, dtype, job.Device), "gather, " + what);

        var dealt = Empty(size + _rank);
        group.Scatter(dealt, _rank == _last ? [.. Ranks.Select(rank => Of(rank, size + rank, dtype))] : null, _last);
        Check(dealt, Values.Of(_rank, size + _rank, dtype, job.Device), "scatter, " + what);

        // Rank r sends size + peer elements to each peer.
        var sent = cat([.. Ranks.Select(peer => Values.Of(_rank + peer, size + peer, dtype, job.Device).to(Comparable(dtype)))]).to(dtype);
        var received = Empty((size + _rank) * _size);
        group.AllToAll(received, sent, [.. Ranks.Select(_ => size + _rank)], [.. Ranks.Select(peer => size + peer)]);
        Check(received, cat([.. Ranks.Select(rank => Values.Of(rank + _rank, size + _rank, dtype, job.Device).to(Comparable(dtype)))]).to(dtype), "all-to-all, " + what);
    }

    /// <summary>What libtorch can concatenate: everything but float8.</summary>
    private static ScalarType Comparable(ScalarType dtype) => dtype is Values.Float8E4M3 or Values.Float8E5M2 ? ScalarType.Float32 : dtype;

    private Tensor Of(int rank, long size, ScalarType dtype) => Values.Of(rank, size, dtype, job.Device);

    private void Check(Tensor actual, Tensor expected, string what, bool exact = true) => job.Check(Values.Same(actual, expected, exact), what);
}
