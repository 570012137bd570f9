using System.Diagnostics;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Failures: every rank that is left must end with an exception that names the cause.</summary>
internal static class FailureScenarios
{
    /// <summary>Each kind of mismatch on a group of its own, since a mismatch breaks the group.</summary>
    [Scenario]
    internal static void Mismatches(WorkerContext context)
    {
        var last = context.Rank == context.Size - 1;
        var cases = new (string Name, string[] Words, Action<ProcessGroup> Run)[]
        {
            ("shape", ["shapes", "[3]", "[4]", "all-reduce"], g => g.AllReduce(ones(last ? 4 : 3))),
            ("layout", ["shapes", "[6]", "[2,3]"], g => g.AllReduce(last ? ones(6) : ones(2, 3))),
            ("large", ["shapes", "[1000000]", "[3]"], g => g.AllReduce(ones(last ? 3 : 1_000_000))),
            ("dtype", ["dtypes", "Float32", "Float64"], g => g.Broadcast(ones(3, last ? ScalarType.Float64 : ScalarType.Float32), 0)),
            ("operation", ["operations", "all-reduce", "broadcast"], g => { if (last) g.Broadcast(ones(3), 0); else g.AllReduce(ones(3)); }),
            ("root", ["roots", "root 0", "root 1"], g => g.Broadcast(ones(3), last ? 1 : 0)),
            ("reduction", ["reductions", "sum", "max"], g => g.AllReduceAsync(ones(3), last ? ReduceOp.Max : ReduceOp.Sum).Wait()),
            ("barrier", ["operations", "barrier", "all-gather"], g => { if (last) g.Barrier(); else g.AllGather(ones(context.Size), ones(1)); }),
            ("uneven", ["sizes", "expects"], g => g.AllGather([.. Enumerable.Range(0, context.Size).Select(r => ones(r == 0 && last ? 9 : 2))], ones(2))),
            ("splits", ["sizes", "sends"], g => g.AllToAll(ones(context.Size * 2), ones(context.Size * 2), null, last ? [3, 1, .. Enumerable.Repeat(2L, context.Size - 2)] : null)),
            ("sub-group", ["sub-groups", "[0]", "[1]"], g => g.CreateSubGroup([last ? 1 : 0])),
        };
        foreach (var (name, words, run) in cases)
        {
            using var group = context.World(name: name);
            group.Barrier();
            var clock = Stopwatch.StartNew();
            var error = Assert.Throws<CollectiveMismatchException>(() => run(group));
            Assert.True(clock.Elapsed < group.Timeout / 2, $"{name}: took {clock.ElapsedMilliseconds} ms");
            foreach (var word in words) Assert.Contains(word, error.Message, StringComparison.Ordinal);
            Assert.Equal(context.Rank, error.Rank);
            for (var r = 0; r < context.Size; r++) Assert.Contains($"rank {r}: ", error.Shapes, StringComparison.Ordinal);
            // The group stays broken, and says why.
            Assert.Contains(words[0], Assert.Throws<CollectiveMismatchException>(group.Barrier).Message, StringComparison.Ordinal);
        }
    }

    [Scenario]
    internal static void TransferMismatch(WorkerContext context)
    {
        using var group = context.World();
        var error = Assert.Throws<CollectiveMismatchException>(() =>
        {
            if (context.Rank == 0) group.Send(ones(100_000), 1);
            else group.Receive(ones(3), 0);
        });
        Assert.Contains("[100000]", error.Message, StringComparison.Ordinal);
        Assert.Contains("[3]", error.Message, StringComparison.Ordinal);
    }

    /// <summary>The last rank waits to be killed; the others are in the middle of a large transfer or of a wait for it.</summary>
    [Scenario]
    internal static void PeerDies(WorkerContext context)
    {
        var victim = context.Size - 1;
        using var group = context.World();
        if (context.Rank == victim)
        {
            // In the middle of a message: the others have agreed with this rank's header and wait for its data.
            if (context.Arguments[0] == "inside") new Thread(() => { while (true) group.AllReduce(ones(4_000_000)); }) { IsBackground = true }.Start();
            for (var r = 0; r < victim; r++) context.Store.Wait($"armed {r}", TimeSpan.FromSeconds(60));
            Console.WriteLine("kill me");
            Thread.Sleep(Timeout.Infinite);
        }
        var pending = context.Arguments[0] == "inside" ? null : group.AllReduceAsync(ones(10));
        context.Store.Set($"armed {context.Rank}", []);
        var clock = Stopwatch.StartNew();
        var error = Assert.Throws<PeerLostException>(() =>
        {
            if (pending is null)
                while (true) group.AllReduce(ones(4_000_000));
            pending.Wait();
        });
        Assert.Equal([victim], error.MissingRanks);
        Assert.Equal("all-reduce", error.Collective);
        Assert.Contains($"rank {victim}", error.Message, StringComparison.Ordinal);
        Assert.Throws<PeerLostException>(group.Barrier);
        Console.WriteLine($"ended after {clock.ElapsedMilliseconds} ms: {error.Message}");
    }

    /// <summary>The last rank calls nothing: the others must name it.</summary>
    [Scenario]
    internal static void PeerIsLate(WorkerContext context)
    {
        var late = context.Size - 1;
        using var group = context.World(TimeSpan.FromSeconds(2));
        using var other = context.World(TimeSpan.FromSeconds(30), "other");
        group.Barrier();
        if (context.Rank == late)
        {
            other.Barrier();
            // It has heard of the failure that it caused.
            var heard = Assert.Throws<CollectiveTimeoutException>(group.Barrier);
            Assert.Equal([late], heard.MissingRanks);
            return;
        }
        var error = Assert.Throws<CollectiveTimeoutException>(() => group.AllReduce(ones(5, 5)));
        other.Barrier();
        Assert.Equal([late], error.MissingRanks);
        Assert.Equal(2, error.SequenceNumber);
        Assert.Contains($"rank {late}", error.Message, StringComparison.Ordinal);
        Assert.Contains("[5,5]", error.Message, StringComparison.Ordinal);
        Console.WriteLine(error.Message);
    }

    /// <summary>The last rank never joins.</summary>
    [Scenario]
    internal static void PeerNeverJoins(WorkerContext context)
    {
        if (context.Rank == context.Size - 1)
        {
            context.Store.Wait("done", TimeSpan.FromSeconds(60));
            return;
        }
        var error = Assert.Throws<CollectiveTimeoutException>(() => context.World(TimeSpan.FromSeconds(2)));
        Assert.Equal([context.Size - 1], error.MissingRanks);
        context.Store.Set("done", []);
    }

    /// <summary>The last rank leaves in good order while the others go on.</summary>
    [Scenario]
    internal static void PeerLeaves(WorkerContext context)
    {
        var group = context.World();
        group.Barrier();
        if (context.Rank == context.Size - 1)
        {
            group.Dispose();
            return;
        }
        var error = Assert.Throws<PeerLostException>(() => group.AllReduce(ones(3)));
        Assert.Equal([context.Size - 1], error.MissingRanks);
        Assert.Contains("left the group", error.Message, StringComparison.Ordinal);
        group.Dispose();
        Assert.Throws<ObjectDisposedException>(group.Barrier);
    }

    /// <summary>What runs for days must not grow.</summary>
    [Scenario]
    internal static void NoLeak(WorkerContext context)
    {
        using var group = context.World();
        using var x = ones(1000);
        using var straight = ones(20, 30);
        using var strided = straight.t();
        void Step()
        {
            group.AllReduce(x, ReduceOp.Avg);
            group.AllReduceAsync(strided).Wait();
            var peer = context.Rank ^ 1;
            var send = group.SendAsync(x, peer);
            group.Receive(x, peer);
            send.Wait();
        }
        for (var i = 0; i < 50; i++) Step();
        // What was dropped at the start must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var tensors = Tensor.TotalCount;
        var memory = Resident();
        for (var i = 0; i < 1000; i++) Step();
        Assert.Equal(tensors, Tensor.TotalCount);
        var grown = Resident() - memory;
        Assert.True(grown < 16 << 20, $"resident memory grew by {grown >> 10} KiB");
        Console.WriteLine($"live tensors {tensors}, resident memory {grown >> 10:+0;-0;0} KiB");
    }

    private static long Resident()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }
}
