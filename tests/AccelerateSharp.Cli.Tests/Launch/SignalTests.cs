namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class SignalTests
{
    [Theory]
    [InlineData(Tool.SigTerm, "TERM", 143)]
    [InlineData(Tool.SigInt, "INT", 130)]
    public async Task A_signal_reaches_every_worker(int signal, string name, int expected)
    {
        using var tool = Tool.Start(
            "launch", "--cpu", "--num_processes", "2", "sh", "-c", $"trap 'echo got {name}; exit 4' {name}; echo pid $$; while :; do sleep 0.05; done");
        var workers = Processes.Ids(tool.WaitFor("pid", count: 2));
        tool.Signal(signal);
        Assert.Equal(expected, await tool.EndAsync());
        Assert.Equal([$"[rank 0] got {name}", $"[rank 1] got {name}"], tool.Output.Where(line => line.Contains("got", StringComparison.Ordinal)).Order());
        await Processes.AssertEndedAsync(workers);
    }

    [Fact]
    public async Task Workers_that_end_well_after_the_signal_make_it_a_success()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        tool.WaitFor("ready", count: 2);
        tool.Signal(Tool.SigTerm);
        Assert.Equal(0, await tool.EndAsync());
    }

    [Fact]
    public async Task A_second_Ctrl_C_kills()
    {
        using var tool = Tool.Start(
            "launch", "--cpu", "--num_processes", "2", "sh", "-c", "trap 'echo saving' INT; echo pid $$; while :; do sleep 0.05; done");
        var workers = Processes.Ids(tool.WaitFor("pid", count: 2));
        tool.Signal(Tool.SigInt);
        tool.WaitFor("saving", count: 2);
        tool.Signal(Tool.SigInt);
        Assert.Equal(130, await tool.EndAsync());
        await Processes.AssertEndedAsync(workers);
    }

    [Theory]
    [InlineData("1")]
    [InlineData("2")]
    public async Task A_killed_launcher_leaves_nobody_behind(string processes)
    {
        // Workers and their children, none of which minds SIGTERM.
        using var tool = Tool.Start(
            "launch", "--cpu", "--num_processes", processes, "sh", "-c", "trap '' TERM INT HUP; sleep 1000 & echo pid $!; echo pid $$; while :; do sleep 1000; done");
        var all = Processes.Ids(tool.WaitFor("pid", count: processes == "1" ? 2 : 4));
        Assert.All(all, id => Assert.True(Processes.IsAlive(id)));
        tool.Signal(Tool.SigKill);
        Assert.Equal(137, await tool.EndAsync());
        await Processes.AssertEndedAsync(all);
    }

    [Fact]
    public async Task Under_nohup_the_end_of_the_terminal_is_ignored()
    {
        using var tool = Tool.StartInShell("trap '' HUP; exec \"$0\" launch --cpu --num_processes 2 sh -c 'echo pid $$; while :; do sleep 0.05; done'");
        var workers = Processes.Ids(tool.WaitFor("pid", count: 2));
        tool.Signal(Tool.SigHup);
        Assert.All(workers, worker => Assert.Equal(0, Tool.Send(worker, Tool.SigHup)));
        tool.Signal(Tool.SigTerm);
        Assert.Equal(143, await tool.EndAsync());
    }

    /// <summary>A single worker at a terminal reads from it, and Ctrl-C there ends it.</summary>
    [Theory]
    [InlineData("line\n", "echo got $line", 0, "got line")]
    [InlineData("\u0003", "echo unreached", 130, "asks")]
    public async Task A_single_worker_owns_the_terminal(string typed, string script, int expected, string shown)
    {
        var command = $"'{Tool.Path}' launch --cpu sh -c 'echo asks; read line; {script}'";
        using var tool = Tool.StartAtTerminal(command);
        tool.WaitFor("asks");
        tool.Type(typed);
        Assert.Equal(expected, await tool.EndAsync());
        Assert.Contains(shown, tool.Output);
        Assert.DoesNotContain("unreached", tool.Output);
    }

    [Fact]
    public async Task Children_of_workers_that_end_well_do_not_stay()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "sh", "-c", "sleep 1000 & echo pid $!");
        var left = Processes.Ids(tool.WaitFor("pid", count: 2));
        Assert.Equal(0, await tool.EndAsync());
        await Processes.AssertEndedAsync(left);
    }
}
