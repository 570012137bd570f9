using System.Globalization;
using System.Net;
using System.Net.Sockets;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Launchers as on several machines, some of which fail, die, come back, join and leave.</summary>
public sealed class ElasticTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;
    private readonly string _token = RendezvousStore.NewToken();
    private readonly string _port = FreePort();
    private readonly List<Tool> _machines = [];

    [Fact]
    public async Task A_worker_that_fails_on_one_machine_starts_all_machines_again()
    {
        var (first, second) = (Start(0, "--max_restarts", "1"), Start(1, "--max_restarts", "1"));
        Assert.Equal(["attempt 0 restart 0 rank 0 of 4 machine 0 of 2", "attempt 0 restart 0 rank 1 of 4 machine 0 of 2"], Places(first, 2));
        Assert.Equal(["attempt 0 restart 0 rank 2 of 4 machine 1 of 2", "attempt 0 restart 0 rank 3 of 4 machine 1 of 2"], Places(second, 2));
        Leave("fail-0-3");
        Assert.Equal(["attempt 1 restart 1 rank 0 of 4 machine 0 of 2", "attempt 1 restart 1 rank 1 of 4 machine 0 of 2"], Places(first, 2));
        Assert.Equal(["attempt 1 restart 1 rank 2 of 4 machine 1 of 2", "attempt 1 restart 1 rank 3 of 4 machine 1 of 2"], Places(second, 2));
        // Every machine is told which worker was the cause.
        Assert.All(_machines, machine => Assert.Contains(machine.Error, line => line.Contains("rank 3 failed with exit code 7; restart 1 of 1", StringComparison.Ordinal)));
        Leave("fail-1-0");
        Assert.Equal((7, 7), (await first.EndAsync(), await second.EndAsync()));
        Assert.Contains(second.Error, line => line.Contains("rank 0 failed with exit code 7; the 1 restart(s) of --max_restarts are used up", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_machine_that_was_killed_may_come_back(int killed)
    {
        var machines = new[] { Start(0, "--max_restarts", "2"), Start(1, "--max_restarts", "2") };
        var lost = Places(machines[killed], 2, out var workers);
        Assert.Equal(2, lost.Count);
        Places(machines[1 - killed], 2);
        machines[killed].Signal(Tool.SigKill);
        Assert.Equal(137, await machines[killed].EndAsync());
        await Processes.AssertEndedAsync(workers);
        machines[1 - killed].WaitFor("restart 1 of 2");
        machines[killed] = Start(killed, "--max_restarts", "2");
        Assert.All(machines, machine => Assert.All(Places(machine, 2), place => Assert.StartsWith("attempt 1 restart 1", place, StringComparison.Ordinal)));
        Leave("done");
        Assert.Equal((0, 0), (await machines[0].EndAsync(), await machines[1].EndAsync()));
    }

    [Fact]
    public async Task Without_restarts_a_killed_machine_ends_the_job()
    {
        var (first, second) = (Start(0), Start(1));
        Places(first, 2);
        second.Signal(Tool.SigKill);
        Assert.NotEqual(0, await first.EndAsync());
        Assert.Contains(first.Error, line => line.Contains("is lost: its launcher was killed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Machines_join_and_leave_between_the_fewest_and_the_most()
    {
        const string Conf = "last_call_timeout=0,join_timeout=2";
        string[] open = ["--nnodes", "2:3", "--num_processes", "3", "--rdzv_conf", Conf, "--max_restarts", "1"];
        var (first, second) = (Start(null, open), Start(null, open));
        Assert.All((Tool[])[first, second], machine => Assert.StartsWith("attempt 0 restart 0", Assert.Single(Places(machine, 1, of: 2)), StringComparison.Ordinal));

        var third = Start(null, open);
        Assert.All(_machines, machine => Assert.StartsWith("attempt 1 restart 0", Assert.Single(Places(machine, 1, of: 3)), StringComparison.Ordinal));

        // One that leaves is no failure; the rest goes on with new ranks.
        third.Signal(Tool.SigTerm);
        Assert.Equal(143, await third.EndAsync());
        Assert.All((Tool[])[first, second], machine => Assert.StartsWith("attempt 2 restart 0", Assert.Single(Places(machine, 1, of: 2)), StringComparison.Ordinal));

        // Below the fewest, the rest waits for as long as it was told, and says who is missing. The one that hosts the rendezvous stays.
        var host = first.Error.Any(line => line.Contains("this is machine 0", StringComparison.Ordinal)) ? first : second;
        var other = host == first ? second : first;
        other.Signal(Tool.SigKill);
        Assert.Equal(1, await host.EndAsync());
        Assert.Contains(host.Error, line => line.Contains("waited 2 s for the machines of the job. Missing: 1 more of at least 2", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_signal_to_one_machine_ends_a_job_of_a_fixed_size_on_all(int signalled)
    {
        var machines = new[] { Start(0, "--max_restarts", "9"), Start(1, "--max_restarts", "9") };
        foreach (var machine in machines) Places(machine, 2);
        machines[signalled].Signal(Tool.SigTerm);
        Assert.Equal((143, 143), (await machines[0].EndAsync(), await machines[1].EndAsync()));
        Assert.Contains(machines[1 - signalled].Error, line => line.Contains($"machine {signalled} (", StringComparison.Ordinal) && line.Contains("SIGTERM", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_machine_that_never_comes_is_named_and_waiting_for_it_can_be_ended()
    {
        var alone = Start(0, "--rdzv_conf", "join_timeout=0.3");
        Assert.Equal(1, await alone.EndAsync());
        Assert.Contains(alone.Error, line => line.Contains("waited 0.3 s for the machines of the job. Missing: machine 1. Here: machine 0 (", StringComparison.Ordinal));

        // Also where the rendezvous itself is not there yet.
        var waiting = Start(1);
        waiting.WaitFor("Launching 4 processes");
        waiting.Signal(Tool.SigTerm);
        Assert.Equal(143, await waiting.EndAsync());
    }

    [Fact]
    public async Task On_one_network_the_rendezvous_listens_at_its_address_alone()
    {
        _ = Start(0, "--same_network");
        using var probe = new TcpClient();
        await WaitForListenerAsync(IPAddress.Parse("127.0.0.1"));
        await Assert.ThrowsAsync<SocketException>(() => probe.ConnectAsync(IPAddress.Parse("127.0.0.2"), int.Parse(_port, CultureInfo.InvariantCulture), TestContext.Current.CancellationToken).AsTask());
    }

    public void Dispose()
    {
        foreach (var machine in _machines) machine.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private Tool Start(int? rank, params string[] options)
    {
        string[] machine = rank is { } given ? ["--machine_rank", given.ToString(CultureInfo.InvariantCulture), "--num_machines", "2", "--num_processes", "4"] : [];
        var tool = Tool.Start(
            new Dictionary<string, string> { [EnvironmentVariables.RendezvousToken] = _token },
            ["launch", "--cpu", "--main_process_ip", "127.0.0.1", "--main_process_port", _port, .. machine, .. options, Tool.RendezvousWorker, "until-file", _folder]);
        _machines.Add(tool);
        return tool;
    }

    private static List<string> Places(Tool machine, int workers, int of = 4) => Places(machine, workers, out _, of);

    /// <summary>What the next workers of a machine print of their places, by rank; and their process ids.</summary>
    private static List<string> Places(Tool machine, int workers, out int[] ids, int of = 4)
    {
        var lines = machine.WaitFor($" of {of} machine", workers);
        ids = Processes.Ids(lines);
        return [.. lines.Select(line => line[line.IndexOf("attempt", StringComparison.Ordinal)..line.IndexOf(" pid", StringComparison.Ordinal)]).Order()];
    }

    private async Task WaitForListenerAsync(IPAddress address)
    {
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(address, int.Parse(_port, CultureInfo.InvariantCulture), TestContext.Current.CancellationToken);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(5, TestContext.Current.CancellationToken);
            }
        }
    }

    private void Leave(string file) => File.WriteAllText(Path.Combine(_folder, file), "");

    private static string FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture);
    }
}
