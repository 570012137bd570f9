using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Core.Tests.Rendezvous;

public sealed class LivenessTests : IDisposable
{
    private static readonly TimeSpan _patience = ServedStore.Patience;
    private readonly ServedStore _served = new();

    [Fact]
    public async Task A_killed_worker_is_lost_for_everybody_at_once()
    {
        using var killed = new WorkerProcess(Hosted(rank: 1, worldSize: 2), "until-peer-lost");
        var witness = _served.NewClient();
        var onlooker = _served.NewClient();
        var otherAttempt = _served.NewClient(generation: 1);
        witness.Join(0);
        witness.WaitForAll("start", 0, 2, _patience);
        Assert.StartsWith("ready", await killed.ReadLineAsync(), StringComparison.Ordinal);
        Assert.False(witness.PeerLost.IsCancellationRequested);
        Assert.Null(witness.PeerLostReason);

        var clock = Stopwatch.StartNew();
        killed.Kill();
        Assert.True(witness.PeerLost.WaitHandle.WaitOne(_patience));
        Assert.True(onlooker.PeerLost.WaitHandle.WaitOne(_patience));
        TestContext.Current.TestOutputHelper?.WriteLine($"noticed after {clock.Elapsed.TotalMilliseconds:0.0} ms");
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(5), $"noticed after {clock.Elapsed}");
        Assert.Equal([1], witness.LostRanks);
        Assert.Contains("rank 1", witness.PeerLostReason, StringComparison.Ordinal);
        Assert.False(otherAttempt.PeerLost.IsCancellationRequested);

        // Whoever comes later hears of it too, and a wait for the lost one ends with its name.
        var late = _served.NewClient();
        Assert.True(late.PeerLost.WaitHandle.WaitOne(_patience));
        var error = Assert.Throws<RendezvousException>(() => witness.WaitForAll("end", 0, 2, _patience));
        Assert.Contains("rank 1", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("return")]
    [InlineData("return-without-dispose")]
    public async Task A_worker_that_ends_well_is_not_lost(string scenario)
    {
        using var ended = new WorkerProcess(Hosted(rank: 1, worldSize: 2), scenario);
        var witness = _served.NewClient();
        witness.Join(0);
        witness.WaitForAll("start", 0, 2, _patience);
        Assert.Equal((0, ""), await ended.EndAsync());
        // The goodbye was answered before the process ended; a new session is told of every loss in its first lines.
        using var late = _served.NewClient();
        late.Set("after", [1]);
        Assert.False(witness.PeerLost.IsCancellationRequested);
        Assert.Empty(late.LostRanks);
        late.Join(1); // the place is free again
    }

    [Fact]
    public async Task A_server_that_is_killed_is_noticed_with_a_reason()
    {
        var port = FreePort();
        using var host = new WorkerProcess(SelfHosted(rank: 0, worldSize: 2, port), "until-peer-lost");
        using var client = RendezvousStore.Connect(SelfHosted(rank: 1, worldSize: 2, port), _patience);
        client.Join(1);
        client.WaitForAll("start", 1, 2, _patience);
        await host.ReadLineAsync();
        host.Kill();
        Assert.True(client.PeerLost.WaitHandle.WaitOne(_patience));
        Assert.Contains($"127.0.0.1:{port}", client.PeerLostReason, StringComparison.Ordinal);
        Assert.Throws<RendezvousException>(() => client.TryGet("a"));
    }

    [Fact]
    public void A_server_that_ends_in_good_order_is_no_lost_peer()
    {
        using var client = _served.NewClient();
        client.Join(0);
        _served.Server.Dispose();
        Assert.Throws<RendezvousException>(() => client.TryGet("a"));
        Assert.False(client.PeerLost.IsCancellationRequested);
    }

    [Fact]
    public void Two_workers_cannot_have_the_same_rank()
    {
        _served.NewClient().Join(2);
        var error = Assert.Throws<RendezvousException>(() => _served.NewClient().Join(2));
        Assert.Contains("two workers", error.Message, StringComparison.Ordinal);
        _served.NewClient(generation: 1).Join(2);
    }

    [Fact]
    public async Task Workers_that_something_else_started_meet_at_rank_0_which_leaves_last()
    {
        var port = FreePort();
        using var second = new WorkerProcess(SelfHosted(rank: 1, worldSize: 3, port), "until-key", "go");
        using var third = new WorkerProcess(SelfHosted(rank: 2, worldSize: 3, port), "until-key", "go");
        var host = RendezvousStore.Connect(SelfHosted(rank: 0, worldSize: 3, port), _patience);
        host.Join(0);
        host.WaitForAll("start", 0, 3, _patience);
        await second.ReadLineAsync();
        await third.ReadLineAsync();
        host.Set("go", []);
        host.Dispose();
        Assert.Equal((0, ""), await second.EndAsync());
        Assert.Equal((0, ""), await third.EndAsync());
    }

    [Fact]
    public void The_port_of_torchruns_own_store_is_left_alone()
    {
        using var agent = new TcpListener(IPAddress.Loopback, 0);
        agent.Start();
        var port = ((IPEndPoint)agent.LocalEndpoint).Port;
        var worker = SelfHosted(rank: 0, worldSize: 2, port) with { Token = RendezvousStore.NewToken() };
        var error = Assert.Throws<RendezvousException>(() => RendezvousStore.Connect(worker, _patience));
        Assert.Contains($"{port}", error.Message, StringComparison.Ordinal);
        using var host = RendezvousStore.Connect(worker with { MasterPortIsTaken = true }, _patience);
        using var other = RendezvousStore.Connect(worker with { MasterPortIsTaken = true, Rank = 1 }, _patience);
        host.Set("a", [1]);
        Assert.Equal([1], other.TryGet("a")!);
        other.Dispose();
    }

    [Fact]
    public void A_host_that_never_arrives_is_named()
    {
        var error = Assert.Throws<TimeoutException>(
            () => RendezvousStore.Connect(SelfHosted(rank: 1, worldSize: 2, FreePort()) with { Token = RendezvousStore.NewToken() }, TimeSpan.FromMilliseconds(50)));
        Assert.Contains("rank 0", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_world_of_one_needs_no_server()
    {
        using var store = RendezvousStore.Connect(new WorkerEnvironment(), _patience);
        store.Join(0);
        store.WaitForAll("alone", 0, 1, _patience);
        Assert.IsType<LocalStore>(store);
    }

    public void Dispose() => _served.Dispose();

    internal static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private WorkerEnvironment Hosted(int rank, int worldSize) =>
        SelfHosted(rank, worldSize, port: 1) with { StoreEndpoint = _served.Endpoint, Token = _served.Token };

    private static WorkerEnvironment SelfHosted(int rank, int worldSize, int port) => new()
    {
        Rank = rank,
        WorldSize = worldSize,
        LocalRank = rank,
        LocalWorldSize = worldSize,
        MasterPort = port,
    };
}
