using System.Globalization;
using System.Net;
using System.Net.Sockets;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Two launchers, as on two machines.</summary>
public sealed class MachineTests
{
    private readonly string _token = RendezvousStore.NewToken();
    private readonly int _port = FreePort();

    [Fact]
    public async Task Workers_of_two_machines_meet_at_the_first()
    {
        using var second = StartOn(1, "return");
        using var first = StartOn(0, "return");
        Assert.Equal((0, 0), (await first.EndAsync(), await second.EndAsync()));
        Assert.Contains(first.Output, line => line.StartsWith("ready", StringComparison.Ordinal));
        Assert.Contains(second.Output, line => line.StartsWith("ready", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failure_on_one_machine_ends_the_job_on_the_other()
    {
        using var second = StartOn(1, "break");
        using var first = StartOn(0, "break");
        Assert.NotEqual(0, await first.EndAsync());
        Assert.NotEqual(0, await second.EndAsync());
        // The launchers say it: rank 0 may be ended before it has come to tell what it noticed.
        Assert.All((Tool[])[first, second], machine => Assert.Contains(
            machine.Error, line => line.StartsWith("accelerate: machine 1 (", StringComparison.Ordinal)
                && line.EndsWith("): rank 1 failed with signal 6 (SIGABRT): System.IO.InvalidDataException: rank 1 breaks here.", StringComparison.Ordinal)));
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private Tool StartOn(int machine, string scenario) => Tool.Start(
        new Dictionary<string, string> { [EnvironmentVariables.RendezvousToken] = _token },
        "launch", "--cpu", "--num_processes", "2", "--num_machines", "2", "--machine_rank", machine.ToString(CultureInfo.InvariantCulture),
        "--main_process_ip", "127.0.0.1", "--main_process_port", _port.ToString(CultureInfo.InvariantCulture), Tool.RendezvousWorker, scenario);
}
