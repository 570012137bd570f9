namespace AccelerateSharp.DistributedTests;

/// <summary>Our optimizers train alike on one process and on several, whole and sharded, with accumulation and clipping.</summary>
public class OptimizerTests
{
    [Theory]
    [InlineData("whole")]
    [InlineData("shard")]
    public void Losses_are_those_of_one_process(string how) => WorkerGroup.Run("OptimizerEquality", 2, "12", how);
}
