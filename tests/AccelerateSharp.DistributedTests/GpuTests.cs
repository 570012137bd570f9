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
}
