using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>Operations in flight: order, memory and the time that overlapping saves.</summary>
internal sealed class OverlapChecks(Job job)
{
    private readonly ProcessGroup _group = job.World;

    /// <summary>Several operations at once, waited for in another order, with compute queued in between.</summary>
    public void ManyInFlight()
    {
        using var scope = NewDisposeScope();
        var tensors = Enumerable.Range(0, 16).Select(i => full(100_003, i + job.Rank, device: job.Device)).ToArray();
        var works = tensors.Select(tensor => _group.AllReduceAsync(tensor)).ToArray();
        for (var i = works.Length - 1; i >= 0; i--)
        {
            works[i].Wait();
            var doubled = tensors[i] * 2;
            var expected = 2f * (i * _group.Size + _group.Size * (_group.Size - 1) / 2);
            job.Check(doubled.eq(expected).all().item<bool>(), $"all-reduce {i} of {works.Length} in flight");
        }

        foreach (var work in works) work.Synchronize();
        job.Check(works.All(work => work.IsCompleted), "all works completed");
    }

    /// <summary>The caller lets go of an input at once and fills new memory: the operation must not see that.</summary>
    public void MemoryOfADroppedInputIsNotReused()
    {
        const long Length = 4_000_037;
        for (var round = 0; round < 20; round++)
        {
            using var scope = NewDisposeScope();
            var output = empty(Length * _group.Size, ScalarType.Float32, job.Device);
            var input = full(Length, job.Rank + round, ScalarType.Float32, job.Device);
            var work = _group.AllGatherAsync(output, input);
            input.Dispose();
            for (var i = 0; i < 4; i++) full(Length, -1f, ScalarType.Float32, job.Device).Dispose();
            work.Wait();
            var expected = cat([.. Enumerable.Range(0, _group.Size).Select(rank => full(Length, rank + round, ScalarType.Float32, job.Device))]);
            job.Check(output.eq(expected).all().item<bool>(), $"all-gather of a dropped input, round {round}");
        }
    }

    /// <summary>All-reduce beside a matrix product, against the two one after the other.</summary>
    public void Overlap(bool small)
    {
        using var scope = NewDisposeScope();
        var n = small ? 256 : 8192;
        var dtype = job.IsCuda ? ScalarType.BFloat16 : ScalarType.Float32;
        var (left, right) = (randn(n, n, device: job.Device).to(dtype), randn(n, n, device: job.Device).to(dtype));
        var buffer = zeros(small ? 1 << 20 : 256 << 20, device: job.Device);
        void Multiply()
        {
            for (var i = 0; i < 8; i++) left.mm(right).Dispose();
        }

        var compute = Timing.Median(job, 5, Multiply);
        var communicate = Timing.Median(job, 5, () => _group.AllReduce(buffer));
        var both = Timing.Median(job, 5, () =>
        {
            var work = _group.AllReduceAsync(buffer);
            Multiply();
            work.Wait();
        });
        job.Check(buffer.eq(0f).all().item<bool>(), "the buffer after overlapping");
        job.Say($"matmul {compute:0.00} ms, all-reduce {communicate:0.00} ms, both {both:0.00} ms (one after the other: {compute + communicate:0.00} ms)");
        if (job.IsCuda && job.Size > 1) job.Check(both < 0.95 * (compute + communicate), "communication overlaps compute");
    }
}
