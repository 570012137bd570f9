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

    /// <summary>The rows of the table in docs/mixed-precision.md: how the model is loaded; weight, compute, gradient, reduction, optimizer states.</summary>
    [Theory]
    [InlineData("ddp", "FP16", "fp32", "fp32", "fp16", "fp32", "fp32", "fp32")]
    [InlineData("ddp", "BF16", "fp32", "fp32", "bf16", "fp32", "fp32", "fp32")]
    [InlineData("ddp", "No", "bf16", "bf16", "bf16", "bf16", "bf16", "bf16")]
    [InlineData("fsdp", "No", "bf16", "bf16", "bf16", "bf16", "bf16", "bf16")]
    [InlineData("fsdp", "BF16", "bf16", "fp32", "bf16", "fp32", "bf16", "fp32")]
    public void Every_byte_is_in_the_dtype_of_the_table(params string[] row) => WorkerGroup.Run("PrecisionRow", 2, row);
}
