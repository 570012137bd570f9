using System.Globalization;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Two machines of two workers each that train together, on networks of their own.</summary>
public sealed class TwoMachineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;
    private readonly string _token = RendezvousStore.NewToken();
    private readonly TwoNetworks _networks = new();
    private readonly List<Tool> _machines = [];
    private readonly int _port;

    public TwoMachineTests() => _port = _networks.FreePort();

    [Fact]
    public async Task Collectives_run_over_both_and_again_after_one_was_killed_and_came_back()
    {
        TestContext.Current.TestOutputHelper?.WriteLine(_networks.AreApart ? "two network namespaces" : "loopback: this system makes no network namespaces");
        var (first, second) = (Start(0), Start(1));
        // 4 elements of 1 + 2 + 3 + 4.
        Assert.All(first.WaitFor("generation 0", count: 2), line => Assert.Contains("of 4 machine 0 sum 40 ", line, StringComparison.Ordinal));
        var lost = second.WaitFor("generation 0", count: 2);
        Assert.All(lost, line => Assert.Contains("of 4 machine 1 sum 40 ", line, StringComparison.Ordinal));

        second.Signal(Tool.SigKill);
        await second.EndAsync();
        await Processes.AssertEndedAsync(Processes.Ids(lost));
        first.WaitFor("restart 1 of 1");
        second = Start(1);
        foreach (var machine in (Tool[])[first, second]) Assert.All(machine.WaitFor("generation 1", count: 2), line => Assert.Contains("sum 40 ", line, StringComparison.Ordinal));
        await File.WriteAllTextAsync(Path.Combine(_folder, "done"), "", TestContext.Current.CancellationToken);
        Assert.Equal((0, 0), (await first.EndAsync(), await second.EndAsync()));
    }

    public void Dispose()
    {
        foreach (var machine in _machines) machine.Dispose();
        _networks.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private Tool Start(int machine)
    {
        var tool = Tool.StartInShell(string.Create(CultureInfo.InvariantCulture,
            $"{EnvironmentVariables.RendezvousToken}={_token} exec {_networks.On(machine)} \"$0\" launch --cpu --num_machines 2 --num_processes 4 --machine_rank {machine} "
            + $"--main_process_ip {_networks.Address} --main_process_port {_port} --same_network --max_restarts 1 '{Tool.TestWorker}' SumUntilDone '{_folder}'"));
        _machines.Add(tool);
        return tool;
    }
}
