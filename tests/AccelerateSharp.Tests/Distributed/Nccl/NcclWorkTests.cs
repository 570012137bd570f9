using AccelerateSharp.Distributed;
using AccelerateSharp.Distributed.Nccl;

namespace AccelerateSharp.Tests.Distributed.Nccl;

public sealed class NcclWorkTests : IDisposable
{
    private readonly TestGroup _group = new(1);

    public void Dispose() => _group.Dispose();

    [Fact]
    public void Waiting_orders_the_current_stream_and_does_not_block_the_host()
    {
        var (work, end) = _group.Members[0].Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 4), stream: 7);
        work.Wait();
        Assert.Equal([(nint)7], end.Waiting);
        Assert.False(work.IsCompleted);
    }

    [Fact]
    public void Tensors_are_given_back_once_the_stream_that_made_them_waits()
    {
        var call = TestGroup.Call(CollectiveKind.AllReduce, 1, 4);
        var tensor = call.Outputs[0];
        var (work, _) = _group.Members[0].Start(call);
        Assert.False(tensor.IsInvalid);
        work.Wait();
        Assert.True(tensor.IsInvalid);
    }

    [Fact]
    public void Another_stream_that_waits_does_not_free_them_early()
    {
        var call = TestGroup.Call(CollectiveKind.AllReduce, 1, 4);
        var tensor = call.Outputs[0];
        nint stream = 1;
        var work = new NcclWork(call, _group.Members[0].Context.Health, () => stream);
        var end = new FakeEvent();
        work.Launched(end, stream);
        stream = 2;
        work.Wait();
        Assert.False(tensor.IsInvalid);
        end.IsReached = true;
        Assert.True(work.IsCompleted);
        Assert.True(tensor.IsInvalid);
    }

    [Fact]
    public void A_dropped_work_is_cleared_at_a_later_call_and_its_event_used_again()
    {
        var call = TestGroup.Call(CollectiveKind.AllReduce, 1, 4);
        var tensor = call.Outputs[0];
        var recycled = new List<object>();
        var work = new NcclWork(call, _group.Members[0].Context.Health, () => 0, recycled.Add);
        var end = new FakeEvent();
        _group.Members[0].Watchdog.Add(work);
        work.Launched(end, 0);
        _group.Members[0].Watchdog.Sweep();
        Assert.False(tensor.IsInvalid);
        end.IsReached = true;
        _group.Members[0].Watchdog.Sweep();
        Assert.True(tensor.IsInvalid);
        Assert.Same(end, Assert.Single(recycled));
        Assert.False(_group.Members[0].Watchdog.IsBusy);
    }

    [Fact]
    public void An_event_that_an_abort_reached_is_no_success()
    {
        var (work, end) = _group.Members[0].Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 4));
        _group.Members[0].Context.Health.Fail(new PeerLostException("rank 3 is gone"), publish: false);
        end.IsReached = true;
        Assert.True(work.IsCompleted);
        Assert.Contains("rank 3", Assert.Throws<PeerLostException>(work.Wait).Message, StringComparison.Ordinal);
        Assert.Throws<PeerLostException>(work.Synchronize);
    }

    [Fact]
    public void What_had_ended_before_the_failure_stays_good()
    {
        var (work, end) = _group.Members[0].Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 4));
        end.IsReached = true;
        Assert.True(work.IsCompleted);
        _group.Members[0].Context.Health.Fail(new PeerLostException("rank 3 is gone"), publish: false);
        work.Wait();
        work.Synchronize();
    }

    [Fact]
    public async Task A_host_that_blocks_hears_of_the_failure()
    {
        var (work, _) = _group.Members[0].Start(TestGroup.Call(CollectiveKind.AllReduce, 1, 4));
        var blocked = Task.Run(work.Synchronize, TestContext.Current.CancellationToken);
        _group.Members[0].Context.Health.Fail(new CollectiveTimeoutException("too late"), publish: false);
        await Assert.ThrowsAsync<CollectiveTimeoutException>(() => blocked);
    }
}
