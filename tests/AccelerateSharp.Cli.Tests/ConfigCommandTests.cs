namespace AccelerateSharp.Cli.Tests;

public sealed class ConfigCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    private string ConfigPath => Path.Combine(_folder, "config.yaml");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task The_questionnaire_reads_plain_lines_where_there_is_no_terminal()
    {
        // Two answers are wrong at first: a menu entry and a yes or no.
        using var tool = Tool.StartInShell($"printf '%s\\n' 7 multi-cpu '' perhaps YES '' 2 bf16 | $0 config --config_file '{ConfigPath}'");
        Assert.Equal(0, await tool.EndAsync());
        Assert.Contains(tool.Output, line => line.Contains("'7' is none of them", StringComparison.Ordinal));
        Assert.Contains(tool.Output, line => line.Contains("Please answer yes or no.", StringComparison.Ordinal));
        Assert.Contains(tool.Output, line => line.EndsWith($"The configuration is saved in {ConfigPath}", StringComparison.Ordinal));
        var text = await File.ReadAllTextAsync(ConfigPath, TestContext.Current.CancellationToken);
        Assert.Contains("debug: true\ndistributed_type: MULTI_CPU\n", text, StringComparison.Ordinal);
        Assert.Contains("mixed_precision: bf16\nnum_machines: 1\nnum_processes: 2\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Input_that_ends_early_writes_nothing()
    {
        using var tool = Tool.StartInShell($"printf '2\\n' | $0 config --config_file '{ConfigPath}'");
        Assert.Equal(1, await tool.EndAsync());
        Assert.Equal("accelerate: The input ended before the question 'How many machines will you use?' was answered; nothing was written.", Assert.Single(tool.Error));
        Assert.False(File.Exists(ConfigPath));
    }

    [Fact]
    public async Task A_default_is_written_once_where_launch_looks_for_it()
    {
        var environment = new Dictionary<string, string> { ["HF_HOME"] = _folder };
        var path = Path.Combine(_folder, "accelerate", "default_config.yaml");
        using var first = Tool.Start(environment, "config", "default", "--mixed_precision", "bf16");
        Assert.Equal(0, await first.EndAsync());
        var text = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);
        Assert.Contains("mixed_precision: bf16\n", text, StringComparison.Ordinal);

        using var second = Tool.Start(environment, "config", "default");
        Assert.Equal(0, await second.EndAsync());
        Assert.Contains("exists already", Assert.Single(second.Output), StringComparison.Ordinal);
        Assert.Equal(text, await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken));

        using var launch = Tool.Start(environment, "launch", "--cpu", "sh", "-c", "echo precision $ACCELERATE_MIXED_PRECISION");
        Assert.Equal(0, await launch.EndAsync());
        Assert.Contains("precision bf16", launch.Output);
        Assert.Contains(launch.Error, line => line.Contains($"mixed precision bf16 (from {path}:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_old_file_is_rewritten_with_the_keys_of_today()
    {
        await File.WriteAllTextAsync(ConfigPath, "distributed_type: NO\nfp16: yes\nmachine_rank: 0\n", TestContext.Current.CancellationToken);
        Assert.Equal(0, (await Tool.RunAsync("config", "update", "--config-file", ConfigPath)).ExitCode);
        var text = await File.ReadAllTextAsync(ConfigPath, TestContext.Current.CancellationToken);
        Assert.Contains("distributed_type: 'NO'\n", text, StringComparison.Ordinal);
        Assert.Contains("mixed_precision: fp16\nnum_machines: 1\nnum_processes: 1\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("\nfp16:", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Errors_of_a_file_are_told_together()
    {
        await File.WriteAllTextAsync(ConfigPath, "distributed_type: MULTI_GPU\nnum_proceses: 2\nuse_cpu: true\n", TestContext.Current.CancellationToken);
        foreach (var arguments in new string[][] { ["config", "update", "--config_file", ConfigPath], ["launch", "--config_file", ConfigPath, "true"] })
        {
            var (code, _, error) = await Tool.RunAsync(arguments);
            Assert.Equal(1, code);
            Assert.Equal(
                [
                    "accelerate: The configuration cannot be used:",
                    $"{ConfigPath}:2: error: unknown key 'num_proceses'. Did you mean 'num_processes'?",
                    $"{ConfigPath}:3: error: use_cpu: true contradicts distributed_type MULTI_GPU; write MULTI_CPU, or use_cpu: false",
                ],
                error);
        }
    }

    [Theory]
    [InlineData("There is no configuration file", "config", "update", "--config_file", "no-such.yaml")]
    [InlineData("There is no configuration file", "launch", "--config_file", "no-such.yaml", "true")]
    [InlineData("is a folder", "launch", "--config_file", "/", "true")]
    [InlineData("There is no configuration file", "to-fsdp2", "--config_file", "no-such.yaml", "--overwrite")]
    [InlineData("cannot be written", "config", "default", "--config_file", "/proc/no/such.yaml")]
    public async Task Files_that_cannot_be_used(string message, params string[] arguments)
    {
        var (code, _, error) = await Tool.RunAsync(arguments);
        Assert.Equal(1, code);
        Assert.Contains(message, Assert.Single(error), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fsdp_1_becomes_fsdp_2()
    {
        var output = Path.Combine(_folder, "two.yaml");
        const string One = "# a comment\ndistributed_type: FSDP\nfsdp_config:\n  fsdp_sharding_strategy: SHARD_GRAD_OP\n  fsdp_use_orig_params: false\n  other: kept\nnum_processes: 8\n";
        const string Two = "distributed_type: FSDP\nfsdp_config:\n  fsdp_reshard_after_forward: false\n  fsdp_version: 2\n  other: kept\nnum_processes: 8\n";
        await File.WriteAllTextAsync(ConfigPath, One, TestContext.Current.CancellationToken);

        await Refused("--output_file", "to-fsdp2", "--config_file", ConfigPath);
        Assert.Equal(0, (await Tool.RunAsync("to-fsdp2", "--config_file", ConfigPath, "--output_file", output)).ExitCode);
        Assert.Equal((One, Two), (await Read(ConfigPath), await Read(output)));
        await Refused("--overwrite", "to-fsdp2", "--config_file", ConfigPath, "--output_file", output);

        var (code, _, error) = await Tool.RunAsync("to-fsdp2", "--config_file", ConfigPath, "--overwrite");
        Assert.Equal(0, code);
        Assert.Equal(["fsdp_sharding_strategy became fsdp_reshard_after_forward.", "fsdp_use_orig_params is left out: version 2 always works as if it were set."], error);
        Assert.Equal(Two, await Read(ConfigPath));
        // A second time there is nothing to convert, and a comment stays.
        await File.AppendAllTextAsync(ConfigPath, "# end\n", TestContext.Current.CancellationToken);
        Assert.Equal(0, (await Tool.RunAsync("to-fsdp2", "--config_file", ConfigPath, "--overwrite")).ExitCode);
        Assert.Equal(Two + "# end\n", await Read(ConfigPath));

        await File.WriteAllTextAsync(ConfigPath, "", TestContext.Current.CancellationToken);
        await Refused("is empty", "to-fsdp2", "--config_file", ConfigPath, "--overwrite");

        static Task<string> Read(string path) => File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);

        static async Task Refused(string message, params string[] arguments)
        {
            var (code, _, error) = await Tool.RunAsync(arguments);
            Assert.Equal(1, code);
            Assert.Contains(message, Assert.Single(error), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(Launch.TalkConfigs.Ddp, "")]
    [InlineData(Launch.TalkConfigs.Fsdp, " with FSDP (from FILE:2)")]
    public async Task Options_override_the_file(string text, string paradigm)
    {
        await File.WriteAllTextAsync(ConfigPath, text, TestContext.Current.CancellationToken);
        var (code, output, error) = await Tool.RunAsync(
            "launch", "--config_file", ConfigPath, "--cpu", "--num_processes", "2", "sh", "-c", "echo $RANK $WORLD_SIZE $ACCELERATE_MIXED_PRECISION $ACCELERATE_USE_CPU $ACCELERATE_USE_FSDP");
        Assert.Equal(0, code);
        var fsdp = paradigm.Length > 0 ? " true" : "";
        Assert.Equal([$"[rank 0] 0 2 bf16 True{fsdp}", $"[rank 1] 1 2 bf16 True{fsdp}"], output.Order());
        Assert.StartsWith(
            $"Launching 2 processes (from --num_processes 2) on CPU (from --cpu){paradigm.Replace("FILE", ConfigPath, StringComparison.Ordinal)}; mixed precision bf16 (from {ConfigPath}:", Assert.Single(error), StringComparison.Ordinal);
    }
}
