namespace AccelerateSharp.DistributedTests;

/// <summary>Float8 on several ranks.</summary>
public class Fp8Tests
{
    [Theory]
    [InlineData("ddp")]
    [InlineData("fsdp")]
    [InlineData("fsdp", "checkpoint")]
    public void Training_follows_float32_and_all_ranks_have_the_same_scales(params string[] arguments) => WorkerGroup.Run("Fp8Training", 2, arguments);

    [Theory]
    [InlineData("O1")]
    [InlineData("O2")]
    [InlineData("O3")]
    public void MsAmp_sends_gradients_in_float8(string level) => WorkerGroup.Run("MsAmpCommunication", 2, level);
}
