namespace AccelerateSharp.Cli.Tests;

public sealed class CommandLineTests
{
    [Fact]
    public async Task Without_a_command_there_is_help_and_exit_code_1()
    {
        var (code, output, _) = await Tool.RunAsync();
        Assert.Equal(1, code);
        Assert.Contains(output, line => line.Contains("launch", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("launch", "--help")]
    public async Task Help_succeeds(params string[] arguments)
    {
        var (code, output, error) = await Tool.RunAsync(arguments);
        Assert.Equal(0, code);
        Assert.NotEmpty(output);
        Assert.Empty(error);
    }

    [Theory]
    [InlineData("launch", "--no_such_option", "true")]
    [InlineData("launch", "--num_proc", "2", "true")]
    [InlineData("launch", "--mixed_precision", "fp7", "true")]
    [InlineData("launch", "--num_processes", "0", "true")]
    [InlineData("launch", "--cpu", "--num_processes", "3", "--num_machines", "2", "--main_process_ip", "n0", "true")]
    [InlineData("launch", "-m", "train")]
    [InlineData("launch", "--module", "--no_python", "train")]
    [InlineData("launch", "--no_python", "train.cs")]
    [InlineData("launch", "--tpu", "true")]
    [InlineData("launch", "--use_megatron_lm", "true")]
    [InlineData("launch")]
    [InlineData("launch", "./no-such-file")]
    [InlineData("launch", "no-such-program")]
    public async Task What_makes_no_sense_is_an_error_without_a_stack_trace(params string[] arguments)
    {
        var (code, _, error) = await Tool.RunAsync(arguments);
        Assert.Equal(1, code);
        Assert.NotEmpty(error);
        Assert.DoesNotContain(error, line => line.StartsWith("   at ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--num_procesess", "Did you mean '--num_processes'?")]
    [InlineData("--num-procesess=2", "Did you mean '--num_processes'?")]
    [InlineData("--fsdp_sharding_strateg", "Did you mean '--fsdp_sharding_strategy'?")]
    public async Task A_misspelled_option_is_not_taken_for_the_program(string option, string hint)
    {
        var (code, _, error) = await Tool.RunAsync("launch", "--cpu", option, "2", "true");
        Assert.Equal(1, code);
        Assert.StartsWith($"accelerate: launch has no option '{option.Split('=')[0]}'. {hint}", Assert.Single(error), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_switch_takes_no_value_and_the_program_may_be_called_true() => Assert.Equal(0, (await Tool.RunAsync("launch", "--cpu", "true")).ExitCode);

    [Fact]
    public async Task A_quiet_launcher_leaves_the_word_to_the_workers()
    {
        var (code, output, error) = await Tool.RunAsync("launch", "-q", "--cpu", "--no_python", "--num_processes", "2", "sh", "-c", "echo out; echo err >&2; [ $RANK = 0 ] && exit 3; exec sleep 100");
        Assert.Equal(3, code);
        Assert.All(output, line => Assert.EndsWith("] out", line, StringComparison.Ordinal));
        Assert.All(error, line => Assert.EndsWith("] err", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--num_processes", "2", "--mixed_precision", "bf16")]
    [InlineData("--num-processes=2", "--mixed-precision=bf16")]
    public async Task Options_are_spelled_either_way_and_the_targets_own_are_its_own(params string[] options)
    {
        var (code, output, _) = await Tool.RunAsync(
            ["launch", "--cpu", .. options, "sh", "-c", "echo $ACCELERATE_MIXED_PRECISION \"$@\"", "name", "--cpu", "--help", "@file", "--", "-x"]);
        Assert.Equal(0, code);
        Assert.Equal(["[rank 0] bf16 --cpu --help @file -- -x", "[rank 1] bf16 --cpu --help @file -- -x"], output.Order());
    }
}
