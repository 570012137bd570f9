using AccelerateSharp.Configuration;

namespace AccelerateSharp.Core.Tests.Configuration;

public sealed class Fsdp2ConversionTests
{
    [Theory]
    [InlineData("FULL_SHARD", true)]
    [InlineData("SHARD_GRAD_OP", false)]
    [InlineData("HYBRID_SHARD", true)]
    [InlineData("HYBRID_SHARD_ZERO2", false)]
    [InlineData("NO_SHARD", false)]
    public void Strategies_become_a_switch(string strategy, bool expected)
    {
        foreach (var key in new[] { "fsdp_sharding_strategy", "fsdp_reshard_after_forward" })
        {
            var converted = Fsdp2Conversion.Of(With(new() { [key] = strategy }));
            Assert.Equal(With(new() { ["fsdp_version"] = 2, ["fsdp_reshard_after_forward"] = expected }), converted.Values);
        }
    }

    [Fact]
    public void What_version_2_does_not_have_is_left_out_and_named_and_the_rest_stays()
    {
        var converted = Fsdp2Conversion.Of(With(new()
        {
            ["fsdp_version"] = 1,
            ["fsdp_backward_prefetch"] = "BACKWARD_PRE",
            ["fsdp_sync_module_states"] = true,
            ["fsdp_use_orig_params"] = true,
            ["fsdp_forward_prefetch"] = false,
            ["fsdp_offload_params"] = true,
            ["something_else"] = "kept",
        }));
        Assert.True(converted.Changed);
        Assert.Equal(With(new() { ["fsdp_version"] = 2, ["fsdp_offload_params"] = true, ["something_else"] = "kept" }), converted.Values);
        Assert.Equal(
            ["fsdp_backward_prefetch", "fsdp_forward_prefetch", "fsdp_sync_module_states", "fsdp_use_orig_params"], converted.Notes.Select(note => note.Split(' ')[0]));
    }

    [Fact]
    public void A_strategy_that_nobody_knows_passes_through() => Assert.Equal(
        With(new() { ["fsdp_version"] = 2, ["fsdp_reshard_after_forward"] = "SOMETIMES" }), Fsdp2Conversion.Of(With(new() { ["fsdp_sharding_strategy"] = "SOMETIMES" })).Values);

    [Fact]
    public void Files_without_version_1_stay_as_they_are()
    {
        foreach (var values in new[] { new ConfigSection { ["debug"] = true }, With([]), With(new() { ["fsdp_version"] = 2, ["fsdp_use_orig_params"] = true }) })
        {
            var converted = Fsdp2Conversion.Of(values);
            Assert.False(converted.Changed);
            Assert.Same(values, converted.Values);
            Assert.Single(converted.Notes);
        }
    }

    private static ConfigSection With(ConfigSection fsdp) => new() { ["distributed_type"] = "FSDP", ["fsdp_config"] = fsdp };
}
