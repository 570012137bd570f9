namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class FailureTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Theory]
    [InlineData("exit 3", 3)]
    [InlineData("kill -SEGV $$", 139)]
    [InlineData("true", 0)]
    public async Task The_exit_code_is_passed_on(string script, int expected)
    {
        Assert.Equal(expected, (await Tool.RunAsync("launch", "--cpu", "sh", "-c", script)).ExitCode);
        Assert.Equal(expected, (await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", "sh", "-c", script)).ExitCode);
    }

    [Fact]
    public async Task The_first_failure_ends_the_others_and_is_named()
    {
        using var tool = Tool.Start(
            "launch", "--cpu", "--num_processes", "3", "sh", "-c", "[ $RANK = 1 ] || { sleep 1000 & echo pid $!; : > \"$0/$RANK\"; exec sleep 1000; }; "
            + Wait(0) + Wait(2) + "echo 'the reason' >&2; exit 7", _folder);
        var grandchildren = Processes.Ids(tool.WaitFor("pid", count: 2));
        Assert.Equal(7, await tool.EndAsync());
        var error = string.Join('\n', tool.Error);
        Assert.Contains("rank 1 failed with exit code 7", error, StringComparison.Ordinal);
        Assert.Equal("    the reason", tool.Error[^1]);
        await Processes.AssertEndedAsync(grandchildren);
    }

    [Fact]
    public async Task A_worker_that_does_not_mind_the_signal_is_killed_after_the_grace_period()
    {
        using var tool = Tool.Start(
            "launch", "--cpu", "--num_processes", "2", "--grace_period", "0.2", "sh", "-c",
            "[ $RANK = 1 ] && { " + Wait(0) + "exit 7; }; trap '' TERM; echo pid $$; : > \"$0/$RANK\"; while :; do sleep 0.1; done", _folder);
        var stubborn = Processes.Ids(tool.WaitFor("pid"));
        Assert.Equal(7, await tool.EndAsync());
        await Processes.AssertEndedAsync(stubborn);
    }

    [Fact]
    public async Task The_cause_is_the_worker_that_broke_and_not_the_one_that_noticed()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", Tool.RendezvousWorker, "break");
        Assert.Equal(134, await tool.EndAsync());
        Assert.Contains(tool.Error, line => line.StartsWith("accelerate: rank 1 failed with signal 6 (SIGABRT)", StringComparison.Ordinal));
        Assert.Contains("accelerate: its error: System.IO.InvalidDataException: rank 1 breaks here", tool.Error);
    }

    [Fact]
    public async Task The_cause_is_found_also_where_the_one_that_noticed_ends_first()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", Tool.RendezvousWorker, "break-late");
        Assert.Equal(9, await tool.EndAsync());
        Assert.Contains(tool.Error, line => line.StartsWith("accelerate: rank 1 failed with exit code 9", StringComparison.Ordinal));
        Assert.Equal("    rank 1 broke", tool.Error[^1]);
    }

    [Fact]
    public async Task The_cause_is_found_also_where_it_takes_long_to_end()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "--grace_period", "0.1", Tool.RendezvousWorker, "break-slowly");
        Assert.NotEqual(0, await tool.EndAsync());
        Assert.Contains(tool.Error, line => line.StartsWith("accelerate: rank 1 failed with ", StringComparison.Ordinal));
        Assert.Contains("accelerate: its error: System.IO.InvalidDataException: rank 1 breaks here", tool.Error);
    }

    [Fact]
    public async Task A_killed_worker_is_the_cause_and_the_others_hear_of_it()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", Tool.RendezvousWorker, "until-peer-lost");
        var ready = tool.WaitFor("ready", count: 2);
        var victim = Processes.Ids(ready.Where(line => line.StartsWith("[rank 1]", StringComparison.Ordinal)))[0];
        System.Diagnostics.Process.GetProcessById(victim).Kill();
        Assert.Equal(137, await tool.EndAsync());
        Assert.Contains(tool.Error, line => line.StartsWith("accelerate: rank 1 failed with signal 9 (SIGKILL)", StringComparison.Ordinal));
        await Processes.AssertEndedAsync(Processes.Ids(ready));
    }

    [Fact]
    public async Task A_stranger_at_the_rendezvous_is_refused_and_logged()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "sh", "-c", "echo at $ACCELERATE_RDZV_ENDPOINT; exec sleep 1000");
        var endpoint = tool.WaitFor("at ")[0].Split(' ')[^1];
        using var stranger = new HttpClient();
        using var answer = await stranger.GetAsync(new Uri($"http://{endpoint}/value?g=0&k=a"), TestContext.Current.CancellationToken);
        Assert.Equal(System.Net.HttpStatusCode.Unauthorized, answer.StatusCode);
        tool.WaitFor("accelerate: rendezvous: refused 127.0.0.1:");
        tool.Signal(Tool.SigTerm);
        Assert.Equal(143, await tool.EndAsync());
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>Shell commands that wait until a rank is where the test wants it: it leaves a file in the folder <c>$0</c>.</summary>
    private static string Wait(int rank) => $"while ! [ -e \"$0/{rank}\" ]; do sleep 0.01; done; ";
}
