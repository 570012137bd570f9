using System.Diagnostics;
using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>What must end in an error with a name, in time, on every rank: each in a group of its own, which it breaks.</summary>
internal sealed class FailureChecks(Job job)
{
    public void Mismatch()
    {
        var group = job.Group("mismatch", TimeSpan.FromSeconds(30));
        // So different in size that the larger one cannot end: of a small difference NCCL may not take notice.
        using var tensor = ones(job.Rank == 0 ? 32 << 20 : 1 << 20, device: job.Device);
        var failure = Fails<CollectiveMismatchException>("a mismatch", TimeSpan.FromSeconds(20), () =>
        {
            group.AllReduceAsync(tensor).Synchronize();
            group.Barrier();
        });
        job.Check(failure?.Message.Contains("33554432", StringComparison.Ordinal) == true && failure.Message.Contains("1048576", StringComparison.Ordinal), "the message names both shapes");
        group.Dispose();
    }

    public void TimeOut()
    {
        var group = job.Group("late", TimeSpan.FromSeconds(3));
        using var tensor = ones(1000, device: job.Device);
        var late = job.Size - 1;
        var failure = Fails<CollectiveTimeoutException>("a rank that does not come", TimeSpan.FromSeconds(15), () =>
        {
            if (job.Rank == late) SpinWait.SpinUntil(() => group.Health.Failure is not null, TimeSpan.FromSeconds(12));
            group.AllReduceAsync(tensor).Synchronize();
        });
        job.Check(failure is not null && failure.MissingRanks.SequenceEqual([late]), $"the missing rank is named (got [{string.Join(", ", failure?.MissingRanks ?? [])}])");
        group.Dispose();
    }

    /// <summary>The last rank dies without a word, the others are in a collective. Does not return on the last rank.</summary>
    public void DeadPeer()
    {
        var group = job.Group("dead peer", TimeSpan.FromSeconds(60));
        var dead = job.Size - 1;
        using var tensor = ones(1000, device: job.Device);
        group.AllReduce(tensor);
        group.Barrier();
        if (job.Rank == dead)
        {
            job.Say("ends itself now, as if killed");
            Process.GetCurrentProcess().Kill();
            Thread.Sleep(Timeout.Infinite);
        }

        var failure = Fails<PeerLostException>("a dead peer", TimeSpan.FromSeconds(20), () => group.AllReduceAsync(tensor).Synchronize());
        job.Check(failure is not null && failure.MissingRanks.Contains(dead), "the dead rank is named");
        using var after = ones(1000, device: job.Device);
        job.Check(after.sum().item<float>() == 1000f, "the device still computes after the abort");
        group.Dispose();
    }

    private TFailure? Fails<TFailure>(string what, TimeSpan within, Action run) where TFailure : DistributedException
    {
        var clock = Stopwatch.StartNew();
        try
        {
            run();
            job.Check(false, $"{what} raised no error");
        }
        catch (TFailure e)
        {
            job.Check(clock.Elapsed < within, $"{what} was noticed after {clock.Elapsed.TotalSeconds:0.0} s");
            job.Say($"{what}: noticed after {clock.Elapsed.TotalSeconds:0.0} s: {e.Message}");
            return e;
        }
        catch (DistributedException e)
        {
            job.Check(false, $"{what} raised {e.GetType().Name}: {e.Message}");
        }

        return null;
    }
}
