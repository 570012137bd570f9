namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class OutputTests
{
    [Fact]
    public async Task Lines_of_many_workers_stay_whole_and_in_order()
    {
        // Each line is written in two halves, so that halves of the others could come between.
        var (code, output, _) = await Tool.RunAsync(
            "launch", "--cpu", "--num_processes", "4", "sh", "-c", "i=0; while [ $i -lt 200 ]; do printf 'half '; printf \"$i\\n\"; i=$((i+1)); done");
        Assert.Equal(0, code);
        Assert.Equal(800, output.Length);
        for (var rank = 0; rank < 4; rank++)
            Assert.Equal(Enumerable.Range(0, 200).Select(i => $"[rank {rank}] half {i}"), output.Where(line => line.StartsWith($"[rank {rank}]", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Standard_error_stays_apart_and_rewritten_lines_are_shown_once()
    {
        var (_, output, error) = await Tool.RunAsync(
            "launch", "--cpu", "--num_processes", "2", "sh", "-c", @"printf '10%%\r50%%\r100%%\n'; printf 'dos\r\n'; echo bad >&2; printf 'no end'");
        Assert.Equal(["[rank 0] 100%", "[rank 0] dos", "[rank 0] no end", "[rank 1] 100%", "[rank 1] dos", "[rank 1] no end"], output.Order());
        Assert.Equal(["[rank 0] bad", "[rank 1] bad"], error.Where(line => line.StartsWith('[')).Order());
    }

    [Fact]
    public async Task When_nobody_reads_the_output_any_more_the_job_ends()
    {
        // The reader goes when it has seen the two process ids.
        using var tool = Tool.StartInShell(
            "{ \"$0\" launch --cpu --num_processes 2 sh -c 'echo pid $$; while :; do echo more; sleep 0.01; done'; echo code $? >&2; } | grep -m 2 pid");
        var workers = Processes.Ids(tool.WaitFor("pid", count: 2));
        Assert.Equal(0, await tool.EndAsync());
        Assert.Contains("code 141", tool.Error);
        await Processes.AssertEndedAsync(workers);
    }

    [Fact]
    public async Task A_single_worker_prints_as_if_it_were_alone()
    {
        var (code, output, error) = await Tool.RunAsync("launch", "--cpu", "sh", "-c", "echo out; echo err >&2");
        Assert.Equal(0, code);
        Assert.Equal(["out"], output);
        Assert.Equal("err", error[^1]);
        Assert.StartsWith("Launching 1 process", error[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_finds_its_place_in_the_environment()
    {
        var (_, output, error) = await Tool.RunAsync(
            "launch", "--cpu", "--num_processes", "2", "--debug", "--main_process_port", "0", "sh", "-c",
            "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR $ACCELERATE_USE_CPU $ACCELERATE_MIXED_PRECISION $ACCELERATE_DEBUG_MODE ${#ACCELERATE_RDZV_TOKEN}");
        Assert.Equal(["[rank 0] 0 2 0 2 0 127.0.0.1 True no true 64", "[rank 1] 1 2 1 2 0 127.0.0.1 True no true 64"], output.Order());
        Assert.StartsWith("Launching 2 processes (from --num_processes 2) on CPU (from --cpu)", error[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_processes_on_the_CPU_really_are_two_and_the_launcher_loads_no_libtorch()
    {
        var (code, output, _) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", "sh", "-c", "echo $PPID $(grep -c -i torch /proc/$PPID/maps) $$");
        Assert.Equal(0, code);
        Assert.Equal(2, Processes.Ids(output).Distinct().Count());
        Assert.All(output, line => Assert.Equal("0", line.Split(' ')[3]));
    }
}
