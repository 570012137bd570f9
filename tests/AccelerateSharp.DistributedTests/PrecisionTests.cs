namespace AccelerateSharp.DistributedTests;

/// <summary>Mixed precision is the same training on one rank and on several.</summary>
public class PrecisionTests
{
    [Theory]
    [InlineData("BF16")]
    [InlineData("FP16")]
    public void Losses_are_those_of_one_process(string precision) => WorkerGroup.Run("MixedPrecisionEquality", 2, precision);

    [Theory]
    [InlineData("ddp")]
    [InlineData("fsdp")]
    public void An_overflow_on_one_rank_skips_that_step_on_all(string strategy) => WorkerGroup.Run("OverflowOnOneRank", 2, strategy);
}
