namespace AccelerateSharp.DistributedTests;

/// <summary>The fused loss inside of a model whose gradients are reduced, or whose weights are sharded.</summary>
public class LossTests
{
    [Theory]
    [InlineData("ddp", "No")]
    [InlineData("fsdp", "No")]
    [InlineData("fsdp", "BF16")]
    public void Training_is_that_of_one_process_with_the_plain_loss(string strategy, string precision) =>
        WorkerGroup.Run("FusedLossEquality", 2, strategy, precision);
}
