namespace AccelerateSharp.DistributedTests;

/// <summary>The promise of sharded training: the same losses as on one process.</summary>
public class ShardingTests
{
    [Theory]
    [InlineData(1, "FullShard NoShard,accumulate,clip FullShard,bf16,steps=5")]
    [InlineData(2, "FullShard FullShard,accumulate,clip,post ShardGradOp,optimizer-first NoShard FullShard,bf16,steps=5")]
    [InlineData(4, "HybridShard,accumulate HybridShardZero2,clip,optimizer-first FullShard,no-prefetch,clip")]
    public void Losses_are_those_of_one_process(int size, string cases) => WorkerGroup.Run("ShardingEquality", size, cases.Split(' '));
}
