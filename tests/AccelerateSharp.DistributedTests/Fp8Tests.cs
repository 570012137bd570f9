namespace AccelerateSharp.DistributedTests;

/// <summary>Float8 on several ranks.</summary>
public class Fp8Tests
{
    [Theory]
    [InlineData("ddp")]
    [InlineData("fsdp")]
    public void Training_follows_float32_and_all_ranks_have_the_same_scales(string strategy) => WorkerGroup.Run("Fp8Training", 2, strategy);

    [Theory]
    [InlineData("O1")]
    [InlineData("O2")]
    [InlineData("O3")]
    public void MsAmp_sends_gradients_in_float8(string level) => WorkerGroup.Run("MsAmpCommunication", 2, level);
}
