namespace AccelerateSharp.DistributedTests;

/// <summary>The promise of sharded training: the same losses as on one process.</summary>
public class ShardingTests
{
    [Theory]
    [InlineData(1, "FullShard,accumulate,clip NoShard,bf16,optimizer-first FullShard,bf16,checkpoint,clip ShardGradOp,accumulate,offload")]
    [InlineData(2, "FullShard,everything,clip,steps=8 FullShard,accumulate,clip,post,optimizer-first FullShard,bf16,accumulate,offload FullShard,checkpoint,everything,clip,steps=6 FullShard,bf16,checkpoint,accumulate,clip")]
    [InlineData(2, "ShardGradOp,accumulate,offload ShardGradOp,bf16,clip,checkpoint NoShard,accumulate,clip,checkpoint NoShard,bf16 FullShard,v2,no-prefetch ShardGradOp,v2 ShardGradOp,clip")]
    [InlineData(4, "HybridShard,accumulate,clip,checkpoint HybridShardZero2,bf16,clip,accumulate HybridShard,bf16 FullShard,reshard2,clip,checkpoint FullShard,bf16,accumulate,steps=10 ShardGradOp,steps=10 NoShard,steps=10")]
    public void Losses_are_those_of_one_process(int size, string cases) => WorkerGroup.Run("ShardingEquality", size, cases.Split(' '));

    [Theory]
    [InlineData(1, "Zero0,accumulate,clip Zero1,bf16,clip Zero2,bf16,accumulate Zero3,clip")]
    [InlineData(2, "Zero0,bf16,clip Zero1,accumulate,clip Zero1,bf16,accumulate Zero2,clip,optimizer-first Zero2,bf16,accumulate,clip Zero3,accumulate,clip Zero3,bf16")]
    [InlineData(4, "Zero0,accumulate,steps=10 Zero1,clip,steps=10 Zero2,accumulate,clip,steps=10 Zero3,bf16,accumulate,clip,checkpoint,steps=10")]
    [InlineData(2, "Zero1,bf16,accumulate,nvme Zero2,clip,nvme,optimizer-first Zero3,accumulate,clip,nvme Zero3,bf16,clip,checkpoint,nvme")]
    public void The_losses_of_DeepSpeeds_stages_are_those_of_one_process(int size, string cases) => WorkerGroup.Run("ShardingEquality", size, cases.Split(' '));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void What_a_program_does_out_of_order_works_or_is_explained(int size) => WorkerGroup.Run("ShardingMisuses", size);

    [Fact]
    public void Settings_do_what_they_say() => WorkerGroup.Run("ShardingSettings", 2);

    [Fact]
    public void A_unit_that_one_rank_skips_is_named() => WorkerGroup.Run("ShardingSkippedUnit", 2);

    [Theory]
    [InlineData(4, "FullShard")]
    [InlineData(2, "ShardGradOp")]
    [InlineData(4, "HybridShard")]
    [InlineData(2, "NoShard")]
    [InlineData(2, "Zero0")]
    [InlineData(2, "Zero1")]
    [InlineData(2, "Zero2")]
    [InlineData(4, "Zero3")]
    public void Each_rank_holds_its_part_and_two_units_at_most(int size, string strategy) => WorkerGroup.Run("ShardingBytes", size, strategy);

    [Fact]
    public void Four_ranks_load_a_model_of_one_gigabyte_in_less_than_two() => WorkerGroup.Run("ShardingRamEfficient", 4, "4096");

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_model_without_values_is_filled_from_a_file_or_in_place(int size) => WorkerGroup.Run("ShardingFromFile", size);

    [Fact]
    public void What_is_in_files_is_what_would_be_in_memory_and_an_overflow_of_one_rank_is_everybodys() => WorkerGroup.Run("DeepSpeedFiles", 2);

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void State_dicts_are_taken_and_loaded_also_at_another_world_size(int size) => WorkerGroup.Run("ShardingStateDicts", size);
}
