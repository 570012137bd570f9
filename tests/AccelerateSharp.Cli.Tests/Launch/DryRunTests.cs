using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class DryRunTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Fact]
    public async Task Every_setting_has_a_source_and_every_worker_its_environment_and_command()
    {
        var (code, output, error) = await RunAsync(Write("job.yaml", TalkConfigs.Fsdp), "--num_processes", "2", "--fsdp_offload_params", "true", "/bin/echo", "two words");
        Assert.Equal((0, ""), (code, string.Join('\n', error)));
        AssertRow(output, "num_processes", "2", "from --num_processes 2");
        AssertRow(output, "device", "CPU", "from --cpu");
        AssertRow(output, "paradigm", "FSDP", $"from {_folder}/job.yaml:2");
        AssertRow(output, "fsdp_offload_params", "true", "from --fsdp_offload_params");
        AssertRow(output, "fsdp_backward_prefetch", "BACKWARD_PRE", $"from {_folder}/job.yaml:5");
        AssertRow(output, "mixed_precision", "bf16", $"from {_folder}/job.yaml:14");
        AssertRow(output, "num_cpu_threads_per_process", "3", "from OMP_NUM_THREADS");
        AssertRow(output, "max_restarts", "0", "the default");
        Assert.Contains("  /bin/echo 'two words'", output);
        foreach (var variable in (string[])["ACCELERATE_USE_FSDP=true", "FSDP_OFFLOAD_PARAMS=true", "ACCELERATE_MIXED_PRECISION=bf16", "WORLD_SIZE=2", "OMP_NUM_THREADS=3"])
            Assert.Contains("  " + variable, output);
        Assert.Equal(["  LOCAL_RANK=1", "  RANK=1", "  ROLE_RANK=1"], output.SkipWhile(line => line != "Environment of rank 1:").Skip(1));
        // The secret of the job is for its workers alone.
        Assert.Contains($"  {EnvironmentVariables.RendezvousToken}=(the secret of the job)", output);
    }

    /// <summary>What is printed is what a worker gets.</summary>
    [Fact]
    public async Task The_environment_is_the_one_that_workers_get()
    {
        string[] options = ["--use_fsdp", "--gradient_accumulation_steps", "2", "--debug"];
        var (_, planned, _) = await RunAsync(null, [.. options, "env"]);
        var shown = planned.SkipWhile(line => !line.StartsWith("Environment of every worker", StringComparison.Ordinal)).Skip(1).Where(line => line.Contains('=', StringComparison.Ordinal)).Select(line => line.Trim()).ToList();
        var (code, got, _) = await RunAsync(null, dryRun: false, [.. options, "--rdzv_id", "(random)", "env"]);
        Assert.NotEqual(0, code); // a job's name has no brackets
        (code, got, _) = await RunAsync(null, dryRun: false, [.. options, "env"]);
        Assert.Equal(0, code);
        Assert.Contains("FSDP_VERSION=1", shown);
        Assert.Empty(shown.Where(variable => !variable.StartsWith("ACCELERATE_RDZV_TOKEN", StringComparison.Ordinal) && !variable.StartsWith("TORCHELASTIC_RUN_ID", StringComparison.Ordinal)).Except(got));
    }

    [Fact]
    public async Task Nothing_is_built_or_started()
    {
        var program = Write("train.cs", $"System.IO.File.WriteAllText(\"{_folder}/started\", \"\");");
        var (code, output, _) = await RunAsync(null, program);
        Assert.Equal(0, code);
        Assert.Contains(output, line => line.Contains("dotnet", StringComparison.Ordinal) && line.EndsWith("train.dll", StringComparison.Ordinal));
        Assert.Equal([program], Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task Several_machines_need_no_secret_to_be_planned_and_what_has_no_effect_is_remarked()
    {
        var (code, output, _) = await RunAsync(
            null, "--num_machines", "2", "--machine_rank", "1", "--num_processes", "4", "--main_process_ip", "n0", "--rdzv_backend", "c10d", "--monitor_interval", "5", "true");
        Assert.Equal(0, code);
        Assert.Contains(output, line => line.StartsWith("  --monitor_interval 5 has no effect", StringComparison.Ordinal));
        Assert.Contains(output, line => line.StartsWith("Ranks follow the order in which machines arrive", StringComparison.Ordinal));
        Assert.Contains("  ACCELERATE_RDZV_ENDPOINT=n0:29500", output);
        Assert.Contains("  RANK=3", output);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static void AssertRow(string[] output, string name, string value, string source) =>
        Assert.Contains(output, line => line.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).SequenceEqual([name, value, source]));

    private string Write(string name, string text)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    private static Task<(int ExitCode, string[] Output, string[] Error)> RunAsync(string? config, params string[] arguments) => RunAsync(config, dryRun: true, arguments);

    private static Task<(int ExitCode, string[] Output, string[] Error)> RunAsync(string? config, bool dryRun, params string[] arguments) => Tool.RunAsync(
        new Dictionary<string, string> { [EnvironmentVariables.OmpThreads] = "3" },
        ["launch", "--cpu", .. dryRun ? (string[])["--dry_run"] : [], .. config is null ? (string[])[] : ["--config_file", config], .. arguments]);
}
