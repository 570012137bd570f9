using AccelerateSharp.Distributed;
using AccelerateSharp.Distributed.Nccl;

namespace AccelerateSharp.Tests.Distributed.Nccl;

public class NcclWatchdogTests
{
    [Fact]
    public void A_time_out_names_the_operation_and_who_did_not_come()
    {
        using var group = new TestGroup(3);
        var (first, second) = (group.Members[0], group.Members[1]);
        var (work, _) = first.Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 2, 3));
        second.Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 2, 3));
        first.Now = 6_000;
        first.Watchdog.Look();
        second.Now = 2_000;
        second.Watchdog.Look();
        Assert.Null(first.Context.Health.Failure);

        first.Now = 600_000;
        first.Watchdog.Look();
        var failure = Assert.Throws<CollectiveTimeoutException>(work.Wait);
        Assert.Equal([12], failure.MissingRanks);
        Assert.Equal((10, "all-reduce", 1L), (failure.Rank, failure.Collective, failure.SequenceNumber));
        Assert.Contains("[2,3]", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mismatch_is_found_long_before_the_time_out_by_comparing_what_ranks_started()
    {
        using var group = new TestGroup(2);
        var (first, second) = (group.Members[0], group.Members[1]);
        var (work, _) = first.Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 4));
        // The other rank is done with its (wrong) operation and waits for nothing.
        var (_, end) = second.Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 5));
        end.IsReached = true;

        first.Now = 5_000;
        first.Watchdog.Look();
        second.Now = 5_000;
        second.Watchdog.Look();
        Assert.Null(second.Context.Health.Failure);
        first.Now = 6_000;
        first.Watchdog.Look();

        var failure = Assert.Throws<CollectiveMismatchException>(work.Wait);
        Assert.Contains("rank 10: all-reduce(sum, Float32 [4]); rank 11: all-reduce(sum, Float32 [5])", failure.Shapes, StringComparison.Ordinal);
        Assert.Equal(1, failure.SequenceNumber);
    }

    [Fact]
    public void A_slow_peer_in_the_right_operation_is_no_mismatch()
    {
        using var group = new TestGroup(2);
        var (first, second) = (group.Members[0], group.Members[1]);
        var (work, end) = first.Start(TestGroup.Call(CollectiveKind.Broadcast, 1, 4));
        for (var now = 1_000; now < 100_000; now += 1_000)
        {
            first.Now = now;
            second.Now = now;
            first.Watchdog.Look();
            second.Watchdog.Look();
            if (now == 50_000) second.Start(TestGroup.Call(CollectiveKind.Broadcast, 1, 4));
        }

        end.IsReached = true;
        first.Watchdog.Look();
        work.Wait();
        Assert.Null(first.Context.Health.Failure);
        Assert.False(first.Watchdog.IsBusy);
    }

    [Fact]
    public void An_error_in_nccls_own_threads_breaks_the_group()
    {
        using var group = new TestGroup(2);
        var member = group.Members[0];
        var (work, _) = member.Start(TestGroup.Call(CollectiveKind.AllGather, 3, 4));
        member.AsyncError = "unhandled system error";
        member.Watchdog.Look();
        Assert.Contains("unhandled system error", Assert.Throws<DistributedException>(work.Wait).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void After_an_abort_all_tensors_are_given_back()
    {
        using var group = new TestGroup(1);
        var member = group.Members[0];
        var calls = Enumerable.Range(1, 3).Select(i => TestGroup.Call(CollectiveKind.AllReduce, i, 4)).ToArray();
        var tensors = calls.Select(call => call.Outputs[0]).ToArray();
        foreach (var call in calls) member.Start(call);
        member.Context.Health.Fail(new PeerLostException("gone"), publish: false);
        member.Watchdog.AbandonAll();
        Assert.All(tensors, tensor => Assert.True(tensor.IsInvalid));
        Assert.False(member.Watchdog.IsBusy);
    }

    [Fact]
    public async Task In_debug_mode_a_mismatch_never_starts()
    {
        using var group = new TestGroup(2);
        var checks = group.Members.Select(member => new NcclDebugCheck(member.Context)).ToArray();
        await Both((check, rank) => check.Compare(TestGroup.Call(CollectiveKind.AllReduce, 1, 4)));
        await Both((check, rank) => check.Compare(TestGroup.Call(CollectiveKind.Barrier, 2)));
        await Both((check, rank) => Assert.Throws<CollectiveMismatchException>(() => check.Compare(TestGroup.Call(rank == 0 ? CollectiveKind.AllReduce : CollectiveKind.Broadcast, 3, 4))));

        Task Both(Action<NcclDebugCheck, int> run) => Task.WhenAll(checks.Select((check, rank) => Task.Run(() => run(check, rank), TestContext.Current.CancellationToken)));
    }
}
