namespace AccelerateSharp.DistributedTests;

/// <summary>One process for each of two GPUs, over NCCL; skipped where there are fewer.</summary>
public class GpuTests
{
    public GpuTests() => Assert.SkipUnless(
        Directory.Exists("/proc/driver/nvidia/gpus") && Directory.GetDirectories("/proc/driver/nvidia/gpus").Length >= 2, "Needs two NVIDIA GPUs.");

    [Fact]
    public void Losses_and_gradients_are_those_of_one_process() => WorkerGroup.Run("DataParallelEquality", 2, "50", "gpu");

    [Fact]
    public void Four_accumulated_batches_equal_one_of_four_times_the_size() => WorkerGroup.Run("AccumulationEquality", 2, "20", "gpu");

    [Theory]
    [InlineData("BF16")]
    [InlineData("FP16")]
    public void Mixed_precision_losses_are_those_of_one_process(string precision) => WorkerGroup.Run("MixedPrecisionEquality", 2, precision, "gpu");

    [Fact]
    public void An_overflow_on_one_rank_skips_that_step_on_both() => WorkerGroup.Run("OverflowOnOneRank", 2, "gpu");

    [Theory]
    [InlineData("FullShard,everything,clip,gpu,steps=6 FullShard,bf16,accumulate,gpu,steps=10")]
    [InlineData("FullShard,checkpoint,everything,accumulate,gpu,steps=6 ShardGradOp,bf16,clip,checkpoint,gpu,steps=10 NoShard,gpu,steps=6")]
    [InlineData("FullShard,offload,clip,gpu,steps=10 FullShard,bf16,offload,accumulate,gpu,steps=10 FullShard,post,gpu,steps=6 FullShard,v2,no-prefetch,gpu,steps=6")]
    public void Sharded_losses_are_those_of_one_process(string cases) => WorkerGroup.Run("ShardingEquality", 2, cases.Split(' '));
}
