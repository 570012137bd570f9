namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Both files of the talk, run on two processes of the CPU: what a program is told, and what it then does.</summary>
public sealed class TalkConfigTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Fact]
    public async Task The_DDP_file_trains_whole_models() => Assert.Equal(
        ["rank 0 of 2 MultiCpu CPU BF16 1 steps holds 6641 of 6641", "rank 1 of 2 MultiCpu CPU BF16 1 steps holds 6641 of 6641"],
        await RunAsync(TalkConfigs.Ddp));

    [Fact]
    public async Task The_FSDP_file_divides_the_model() => AssertDivided(await RunAsync(TalkConfigs.Fsdp), "Fsdp CPU BF16 1 steps", "FullShard TransformerBasedWrap ShardedStateDict units 7");

    [Fact]
    public async Task Options_come_before_the_file() => AssertDivided(
        await RunAsync(TalkConfigs.Fsdp, "--mixed_precision", "no", "--fsdp_sharding_strategy", "SHARD_GRAD_OP", "--fsdp-auto-wrap-policy=NO_WRAP", "--gradient_accumulation_steps", "4"),
        "Fsdp CPU No 4 steps", "ShardGradOp NoWrap ShardedStateDict units 1");

    [Fact]
    public async Task Options_alone_divide_a_model() => AssertDivided(await RunAsync(file: null, "--use_fsdp"), "Fsdp CPU No 1 steps", "FullShard NoWrap FullStateDict units 1");

    [Fact]
    public async Task A_DeepSpeed_file_divides_the_model_too() => AssertDivided(
        await RunAsync("distributed_type: DEEPSPEED\nmixed_precision: bf16\ndeepspeed_config:\n  zero_stage: 2\n  gradient_accumulation_steps: 2\n", "--zero_stage", "3"),
        "DeepSpeed CPU BF16 2 steps", "stage 3");

    [Fact]
    public async Task An_fp8_file_and_an_option_make_the_recipe() => Assert.Equal(
        ["rank 0 of 2 MultiCpu CPU FP8 1 steps holds 6641 of 6641 E4M3 history 32", "rank 1 of 2 MultiCpu CPU FP8 1 steps holds 6641 of 6641 E4M3 history 32"],
        await RunAsync("distributed_type: MULTI_CPU\nmixed_precision: fp8\nfp8_config:\n  backend: TE\n  amax_history_length: 32\n", "--fp8_format", "E4M3"));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>Each of two ranks holds half of the parameters, but for what fills up to equal shares.</summary>
    private static void AssertDivided(string[] ranks, string training, string plugin)
    {
        Assert.Equal(2, ranks.Length);
        for (var rank = 0; rank < 2; rank++)
        {
            Assert.StartsWith($"rank {rank} of 2 {training} holds ", ranks[rank], StringComparison.Ordinal);
            Assert.EndsWith($" of 6641 {plugin}", ranks[rank], StringComparison.Ordinal);
        }
        var held = ranks.Sum(line => int.Parse(line.Split("holds ")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));
        Assert.InRange(held, 6641, 6641 + (7 * 2 * 8));
    }

    private async Task<string[]> RunAsync(string? file, params string[] options)
    {
        var path = Path.Combine(_folder, "job.yaml");
        if (file is not null) await File.WriteAllTextAsync(path, file, TestContext.Current.CancellationToken);
        var (code, output, error) = await Tool.RunAsync(
            ["launch", "--cpu", "--num_processes", "2", .. file is null ? (string[])[] : ["--config_file", path], .. options, Tool.TestWorker, "ShowTraining"]);
        Assert.True(code == 0, string.Join('\n', error));
        return [.. output.Where(line => line.Contains(" holds ", StringComparison.Ordinal)).Select(line => line[(line.IndexOf(']', StringComparison.Ordinal) + 2)..]).Order()];
    }
}
