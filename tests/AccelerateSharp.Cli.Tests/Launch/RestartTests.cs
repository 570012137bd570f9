namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class RestartTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Fact]
    public async Task A_crash_starts_all_workers_again_in_a_new_generation()
    {
        const string Script = "echo run $RANK $ACCELERATE_RDZV_GENERATION $TORCHELASTIC_RESTART_COUNT $TORCHELASTIC_MAX_RESTARTS $TORCHELASTIC_RUN_ID $ROLE_NAME $ROLE_RANK $ROLE_WORLD_SIZE; "
            + "[ $TORCHELASTIC_RESTART_COUNT != 0 ] || { [ $RANK = 1 ] && exit 7; exec sleep 1000; }";
        var (code, output, error) = await Tool.RunAsync(
            "launch", "--cpu", "--num_processes", "2", "--max_restarts", "3", "--rdzv_id", "job", "--role", "trainer", "sh", "-c", Script);
        Assert.Equal(0, code);
        Assert.Equal(
            ["[trainer rank 0] run 0 1 1 3 job trainer 0 2", "[trainer rank 1] run 1 0 0 3 job trainer 1 2", "[trainer rank 1] run 1 1 1 3 job trainer 1 2"],
            output.Where(line => line != "[trainer rank 0] run 0 0 0 3 job trainer 0 2").Order());
        Assert.Single(error, line => line.StartsWith("accelerate: trainer rank 1 failed with exit code 7", StringComparison.Ordinal));
        Assert.Contains("accelerate: starting all workers again, restart 1 of 3.", error);
    }

    [Fact]
    public async Task When_the_restarts_are_used_up_the_failure_is_passed_on_and_each_was_explained()
    {
        var (code, output, error) = await Tool.RunAsync("launch", "--cpu", "--max-restarts", "2", "sh", "-c", "echo run; exit $((4 + TORCHELASTIC_RESTART_COUNT))");
        Assert.Equal(6, code);
        Assert.Equal(["run", "run", "run"], output);
        Assert.Equal(
            ["exit code 4", "exit code 5", "exit code 6"],
            error.Where(line => line.StartsWith("accelerate: rank 0 failed with", StringComparison.Ordinal)).Select(line => line[31..42]));
        Assert.Contains(error, line => line.Contains("the 2 restart(s) of --max_restarts 2 are used up", StringComparison.Ordinal));
    }

    /// <summary>What the failed attempt left in the store is out of sight: the same keys are used again, and nobody counts as lost.</summary>
    [Fact]
    public async Task The_next_attempt_meets_in_a_fresh_rendezvous()
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "--max_restarts", "1", Tool.RendezvousWorker, "until-file", _folder);
        tool.WaitFor("attempt 0 restart 0", count: 2);
        Leave("fail-0-1");
        tool.WaitFor("attempt 1 restart 1", count: 2);
        Leave("done");
        Assert.Equal(0, await tool.EndAsync());
        Assert.Contains(tool.Error, line => line.StartsWith("accelerate: rank 1 failed with exit code 7", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(Tool.SigTerm, 143)]
    [InlineData(Tool.SigInt, 130)]
    public async Task A_signal_is_no_failure(int signal, int expected)
    {
        using var tool = Tool.Start("launch", "--cpu", "--num_processes", "2", "--max_restarts", "5", "sh", "-c", "trap 'exit 9' INT TERM; echo ready; while :; do sleep 0.05; done");
        tool.WaitFor("ready", count: 2);
        tool.Signal(signal);
        Assert.Equal(expected, await tool.EndAsync());
        Assert.Equal(2, tool.Output.Length);
    }

    [Fact]
    public async Task Each_attempt_and_rank_has_its_files()
    {
        var (code, output, error) = await Tool.RunAsync(
            "launch", "--cpu", "--num_processes", "2", "--max_restarts", "1", "--log_dir", _folder, "--tee", "0:3,1:1", "--rdzv_id", "job", "sh", "-c",
            "echo out $RANK $TORCHELASTIC_RESTART_COUNT; echo err $RANK >&2; : > \"$0/$TORCHELASTIC_RESTART_COUNT-$RANK\"; "
            // Only when both have printed may one of them end the attempt.
            + "while ! [ -e \"$0/$TORCHELASTIC_RESTART_COUNT-0\" -a -e \"$0/$TORCHELASTIC_RESTART_COUNT-1\" ]; do sleep 0.01; done; exit $((1 - TORCHELASTIC_RESTART_COUNT))",
            _folder);
        Assert.Equal(0, code);
        var job = Assert.Single(Directory.GetDirectories(_folder));
        Assert.StartsWith("job_", Path.GetFileName(job), StringComparison.Ordinal);
        Assert.Contains($"What the workers print is kept in {job}.", error);
        var files = Directory.GetFiles(job, "*", SearchOption.AllDirectories).ToDictionary(file => Path.GetRelativePath(job, file), File.ReadAllText);
        Assert.Equal(
            new SortedDictionary<string, string>
            {
                ["attempt_0/0/stdout.log"] = "out 0 0\n",
                ["attempt_0/0/stderr.log"] = "err 0\n",
                ["attempt_0/1/stdout.log"] = "out 1 0\n",
                ["attempt_1/0/stdout.log"] = "out 0 1\n",
                ["attempt_1/0/stderr.log"] = "err 0\n",
                ["attempt_1/1/stdout.log"] = "out 1 1\n",
            },
            new SortedDictionary<string, string>(files));
        Assert.Equal(["[rank 0] out 0 0", "[rank 0] out 0 1", "[rank 1] out 1 0", "[rank 1] out 1 1"], output.Order());
        Assert.Equal(2, error.Count(line => line == "[rank 1] err 1"));
    }

    [Fact]
    public async Task A_single_worker_is_logged_too_and_everything_by_default()
    {
        Assert.Equal(0, (await Tool.RunAsync("launch", "--cpu", "--log_dir", _folder, "sh", "-c", "printf 'a\\rb'; echo c >&2")).ExitCode);
        Assert.Equal(["a\rb", "c\n"], Directory.GetFiles(_folder, "*.log", SearchOption.AllDirectories).OrderDescending().Select(File.ReadAllText));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private void Leave(string file) => File.WriteAllText(Path.Combine(_folder, file), "");
}
