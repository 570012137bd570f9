using AccelerateSharp.Launch;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Sharding;

/// <summary>What the FSDP_* variables and the properties of the plugin come to.</summary>
public class FsdpPluginTests
{
    [Fact]
    public void Without_any_setting_the_defaults_hold()
    {
        var plugin = Resolve(new());
        Assert.Equal(1, plugin.FsdpVersion);
        Assert.Equal(ShardingStrategy.FullShard, plugin.ShardingStrategy);
        Assert.Equal(BackwardPrefetch.BackwardPre, plugin.BackwardPrefetch);
        Assert.Equal(AutoWrapPolicy.NoWrap, plugin.AutoWrapPolicy);
        Assert.Equal(StateDictType.FullStateDict, plugin.StateDictType);
        Assert.Equal((0L, false, true, true), (plugin.MinNumParams!.Value, plugin.OffloadParams!.Value, plugin.UseOrigParams!.Value, plugin.SyncModuleStates!.Value));
        Assert.Equal((false, false), (plugin.CpuRamEfficientLoading!.Value, plugin.ActivationCheckpointing!.Value));
        Assert.Empty(plugin.WithoutEffect());
    }

    [Fact]
    public void Every_variable_of_the_launcher_is_read()
    {
        var plugin = Resolve(new(),
            ("FSDP_VERSION", "1"), ("FSDP_SHARDING_STRATEGY", "SHARD_GRAD_OP"), ("FSDP_OFFLOAD_PARAMS", "true"), ("FSDP_MIN_NUM_PARAMS", "1e8"),
            ("FSDP_AUTO_WRAP_POLICY", "TRANSFORMER_BASED_WRAP"), ("FSDP_TRANSFORMER_CLS_TO_WRAP", "LlamaDecoderLayer, MistralDecoderLayer"),
            ("FSDP_BACKWARD_PREFETCH", "BACKWARD_POST"), ("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT"), ("FSDP_FORWARD_PREFETCH", "true"),
            ("FSDP_USE_ORIG_PARAMS", "false"), ("FSDP_CPU_RAM_EFFICIENT_LOADING", "true"), ("FSDP_SYNC_MODULE_STATES", "true"),
            ("FSDP_ACTIVATION_CHECKPOINTING", "true"), ("FSDP_IGNORED_MODULES", "head|norm"));
        Assert.Equal(ShardingStrategy.ShardGradOp, plugin.ShardingStrategy);
        Assert.Equal(AutoWrapPolicy.TransformerBasedWrap, plugin.AutoWrapPolicy);
        Assert.Equal(["LlamaDecoderLayer", "MistralDecoderLayer"], plugin.TransformerClsNamesToWrap!);
        Assert.Equal(BackwardPrefetch.BackwardPost, plugin.BackwardPrefetch);
        Assert.Equal(StateDictType.ShardedStateDict, plugin.StateDictType);
        Assert.Equal((100_000_000L, true, false, true), (plugin.MinNumParams!.Value, plugin.OffloadParams!.Value, plugin.UseOrigParams!.Value, plugin.SyncModuleStates!.Value));
        Assert.Equal((true, true, "head|norm"), (plugin.CpuRamEfficientLoading!.Value, plugin.ActivationCheckpointing!.Value, plugin.IgnoredModulePattern));
        Assert.Contains("forward_prefetch", Assert.Single(plugin.WithoutEffect()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1", ShardingStrategy.FullShard)]
    [InlineData("4", ShardingStrategy.HybridShard)]
    [InlineData("hybrid_shard_zero2", ShardingStrategy.HybridShardZero2)]
    public void A_strategy_has_a_name_and_a_number(string text, ShardingStrategy expected) =>
        Assert.Equal(expected, Resolve(new(), ("FSDP_SHARDING_STRATEGY", text)).ShardingStrategy);

    [Theory]
    [InlineData("true", ShardingStrategy.FullShard, null)]
    [InlineData("false", ShardingStrategy.ShardGradOp, null)]
    [InlineData("8", ShardingStrategy.FullShard, 8)]
    public void Version_2_reshards_or_not_or_among_some_ranks(string text, ShardingStrategy strategy, int? ranks)
    {
        var plugin = Resolve(new(), ("FSDP_VERSION", "2"), ("FSDP_RESHARD_AFTER_FORWARD", text));
        Assert.Equal((strategy, ranks, StateDictType.ShardedStateDict), (plugin.ShardingStrategy!.Value, plugin.ReshardGroupSize, plugin.StateDictType!.Value));
    }

    [Fact]
    public void The_program_wins_over_the_environment() => Assert.Equal(
        ShardingStrategy.NoShard, Resolve(new() { ShardingStrategy = ShardingStrategy.NoShard }, ("FSDP_SHARDING_STRATEGY", "FULL_SHARD")).ShardingStrategy);

    [Theory]
    [InlineData("FSDP_SHARDING_STRATEGY", "SHARD_ALL", "FULL_SHARD, SHARD_GRAD_OP")]
    [InlineData("FSDP_MIN_NUM_PARAMS", "many", "not a whole number")]
    [InlineData("FSDP_MIN_NUM_PARAMS", "-3", "min_num_params")]
    [InlineData("FSDP_OFFLOAD_PARAMS", "perhaps", "FSDP_OFFLOAD_PARAMS")]
    [InlineData("FSDP_VERSION", "3", "fsdp_version")]
    public void A_wrong_value_is_named(string variable, string text, string expected) =>
        Assert.Contains(expected, Assert.ThrowsAny<Exception>(() => Resolve(new(), (variable, text))).Message, StringComparison.Ordinal);

    [Fact]
    public void Contradictions_are_errors_and_settings_without_effect_are_said()
    {
        Assert.Contains("sync_module_states", Assert.Throws<ArgumentException>(() => Resolve(new() { CpuRamEfficientLoading = true, SyncModuleStates = false })).Message, StringComparison.Ordinal);
        Assert.Contains("ShardingStrategy", Assert.Throws<ArgumentException>(() => Resolve(new() { ReshardAfterForward = false })).Message, StringComparison.Ordinal);
        Assert.Contains("LOCAL_STATE_DICT", Assert.Throws<ArgumentException>(() => Resolve(new() { FsdpVersion = 2, StateDictType = StateDictType.LocalStateDict })).Message, StringComparison.Ordinal);
        Assert.Contains("LimitAllGathers", Assert.Single(Resolve(new() { LimitAllGathers = false }).WithoutEffect()), StringComparison.Ordinal);
    }

    [Fact]
    public void Units_by_class_are_named_declared_or_guessed()
    {
        using var model = new Net();
        Assert.Equal(["", "_small", "_blocks.0", "_blocks.1", "_blocks.2"], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap, TransformerClsNamesToWrap = ["Block", "Small"] }));
        // Three blocks; one small module.
        Assert.Equal(["", "_blocks.0", "_blocks.1", "_blocks.2"], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap }));
        using var declaring = new Declaring();
        Assert.Equal(["", "_inner._small"], Units(declaring, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap }));
        Assert.Contains("'Layer'", Assert.Throws<ArgumentException>(() => Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap, TransformerClsNamesToWrap = ["Layer"] })).Message, StringComparison.Ordinal);
        using var single = Linear(2, 2);
        Assert.Contains("cannot be guessed", Assert.Throws<ArgumentException>(() => Units(single, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Units_by_size_are_counted_from_the_leaves_up()
    {
        using var model = new Net();
        // A block: 8 x 16 + 16 and 16 x 8 + 8 parameters, 280; the small module 72.
        Assert.Equal(["", "_blocks.0", "_blocks.1", "_blocks.2"], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.SizeBasedWrap, MinNumParams = 200 }));
        Assert.Equal(7, Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.SizeBasedWrap, MinNumParams = 100 }).Count);
        Assert.Equal([""], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.SizeBasedWrap, MinNumParams = 281 }));
        Assert.Equal([""], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.SizeBasedWrap, MinNumParams = 0 }));
        Assert.Equal([""], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.NoWrap }));
    }

    [Fact]
    public void Units_may_be_chosen_and_modules_left_out()
    {
        using var model = new Net();
        Assert.Equal(["", "_blocks.1"], Units(model, new() { WrapWhere = static (name, _) => name == "_blocks.1" }));
        Assert.Equal(["", "_blocks.0", "_blocks.2"], Units(model, new() { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap, IgnoredModulePattern = @"_blocks\.1" }));
    }

    private static FullyShardedDataParallelPlugin Resolve(FullyShardedDataParallelPlugin plugin, params (string Name, string Value)[] environment) =>
        plugin.Resolve(new EnvironmentReader(name => environment.FirstOrDefault(item => item.Name == name).Value));

    private static IReadOnlyList<string> Units(Module model, FullyShardedDataParallelPlugin plugin) => Resolve(plugin).Plan(model).UnitNames;

    private sealed class Small : Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.Linear _linear = Linear(8, 8);

        public Small()
            : base(nameof(Small)) => RegisterComponents();

        public override Tensor forward(Tensor input) => _linear.call(input);
    }

    private sealed class Block : Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.Linear _up = Linear(8, 16);
        private readonly TorchSharp.Modules.Linear _down = Linear(16, 8);

        public Block()
            : base(nameof(Block)) => RegisterComponents();

        public override Tensor forward(Tensor input) => _down.call(_up.call(input));
    }

    private sealed class Net : Module<Tensor, Tensor>
    {
        private readonly Small _small = new();
        private readonly TorchSharp.Modules.ModuleList<Block> _blocks = new(new Block(), new Block(), new Block());

        public Net()
            : base(nameof(Net)) => RegisterComponents();

        public override Tensor forward(Tensor input)
        {
            input = _small.call(input);
            foreach (var block in _blocks) input = block.call(input);
            return input;
        }
    }

    private sealed class Declaring : Module<Tensor, Tensor>, ITransformerModel
    {
        private readonly Net _inner = new();

        public Declaring()
            : base(nameof(Declaring)) => RegisterComponents();

        public IReadOnlyList<string> LayerClassNames => [nameof(Small)];

        public override Tensor forward(Tensor input) => _inner.call(input);
    }
}
