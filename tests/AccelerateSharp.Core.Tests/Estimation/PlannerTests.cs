using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;

namespace AccelerateSharp.Core.Tests.Estimation;

public sealed class PlannerTests
{
    private const double Llama = 8_030_261_248, LlamaBlock = 218_112_000, LlamaRoot = Llama - 32 * LlamaBlock, Rotary = 32 * 2 * 8192 * 128 * 4.0;

    private static readonly ModelInventory _llama = ArchitectureTests.Derive(Configs.Llama38B);
    private static readonly PlanRequest _eightGpus = new() { Gpus = 8, GpuMemory = 80L << 30, BatchSize = 1, SequenceLength = 4096 };

    [Fact]
    public void A_gpt_block_keeps_what_the_literature_counts()
    {
        // Korthikanti et al. (2022), with selective recomputation: 34 s b h; the softmax of FlashAttention adds four bytes for each head and position.
        var gpt = new TransformerGeometry { Layers = 1, Hidden = 768, Heads = 12, KeyValueHeads = 12, HeadWidth = 64, FeedForward = 3072, HasDropout = true };
        Assert.Equal(34.0 * 1024 * 4 * 768 + 4.0 * 12 * 1024 * 4, ActivationMemory.Block(gpt, batch: 4, sequence: 1024, elementBytes: 2));
    }

    [Fact]
    public void Activations_are_a_boundary_for_each_block_under_checkpointing()
    {
        var geometry = _llama.Geometry!;
        const double Tokens = 4096, Boundary = Tokens * 4096 * 2, Logits = Tokens * 128_256 * 10;
        // norms 2h; attention h + q + 2 kv + q; feed-forward h + 4f
        const double Block = Tokens * (2 * (2 * 4096 + (4096 + 4096 + 2048 + 4096) + (4096 + 4 * 14336)) + 4 * 32);
        Assert.Equal(Block, ActivationMemory.Block(geometry, 1, 4096, 2));
        Assert.Equal(32 * Block + 3 * Boundary + Logits, ActivationMemory.Model(geometry, 1, 4096, 2, checkpointing: false));
        Assert.Equal(Block + 35 * Boundary + Logits, ActivationMemory.Model(geometry, 1, 4096, 2, checkpointing: true));
    }

    [Fact]
    public void Each_way_holds_its_share()
    {
        AssertPlan(PlanStrategy.OneGpu, Llama * 4, Llama * 8, 2 * Llama, host: 0);
        AssertPlan(PlanStrategy.DataParallel, Llama * 4, Llama * 8, 2 * Llama + (25 << 20), host: 0);
        const double InFlight = 2 * LlamaRoot;
        AssertPlan(PlanStrategy.ShardGradOp, Llama * 4 / 8, Llama, 2 * Llama + InFlight, host: 0);
        AssertPlan(PlanStrategy.FullShard, Llama * 4 / 8, Llama, 2 * (LlamaRoot + 2 * LlamaBlock) + InFlight, host: 0);
        AssertPlan(PlanStrategy.HybridShard, Llama * 4 / 8, Llama, 2 * (LlamaRoot + 2 * LlamaBlock) + InFlight, host: 0);
        AssertPlan(PlanStrategy.Offload, 0, 0, 2 * (LlamaRoot + 2 * LlamaBlock) + InFlight, host: 16 * Llama);

        static void AssertPlan(PlanStrategy strategy, double weights, double optimizer, double communication, double host)
        {
            var plan = Planner.Plans(_llama, _eightGpus).First(plan => plan.Strategy == strategy);
            Assert.Equal((weights + Rotary, weights, optimizer, communication, host),
                (plan.Parameters, plan.Gradients, plan.Optimizer, plan.Communication, plan.Host));
            Assert.Equal(plan.Parameters + plan.Gradients + plan.Optimizer + plan.Activations!.Value + plan.Communication, plan.Total);
        }
    }

    [Fact]
    public void A_hybrid_shards_inside_of_a_machine()
    {
        var plans = Planner.Plans(_llama, _eightGpus with { Machines = 2 });
        Assert.Equal(Llama * 8 / 4, plans.First(plan => plan.Strategy == PlanStrategy.HybridShard).Optimizer);
        Assert.Equal(Llama * 8 / 8, plans.First(plan => plan.Strategy == PlanStrategy.FullShard).Optimizer);
        Assert.Equal(16 * Llama / 2, plans.First(plan => plan.Strategy == PlanStrategy.Offload).Host);
        Assert.DoesNotContain(Planner.Plans(_llama, _eightGpus with { Machines = 8 }), plan => plan.Strategy == PlanStrategy.HybridShard);
    }

    [Theory]
    [InlineData(8, 1, 192, "DDP")]
    [InlineData(8, 1, 80, "SHARD_GRAD_OP")]
    [InlineData(8, 1, 56, "FULL_SHARD")]
    [InlineData(8, 1, 48, "SHARD_GRAD_OP + checkpointing")]
    [InlineData(8, 1, 32, "FULL_SHARD + checkpointing")]
    [InlineData(8, 1, 24, "CPU offload + checkpointing")]
    [InlineData(8, 1, 8, null)]
    [InlineData(32, 4, 49, "HYBRID_SHARD")]
    [InlineData(32, 1, 49, "FULL_SHARD")]
    [InlineData(1, 1, 400, "one GPU")]
    [InlineData(1, 1, 160, "one GPU + checkpointing")]
    [InlineData(1, 1, 80, "CPU offload")]
    public void The_fastest_that_fits_is_chosen(int gpus, int machines, int gibibytes, string? expected)
    {
        var request = _eightGpus with { Gpus = gpus, Machines = machines, GpuMemory = (long)gibibytes << 30 };
        Assert.Equal(expected, Planner.Fastest(Planner.Plans(_llama, request), request)?.Name);
    }

    [Theory]
    [InlineData("adamw", 8)]
    [InlineData("adamw_8bit", 2.03125)]
    [InlineData("sgd", 0)]
    [InlineData("sgd_momentum", 4)]
    [InlineData("lion", 4)]
    [InlineData("adafactor", 4 * (1024 + 4096.0) / (1024 * 4096))]
    public void Optimizers_keep_their_states(string name, double bytesPerParameter)
    {
        var kind = OptimizerKinds.Parse(name);
        Assert.Equal(bytesPerParameter * 1024 * 4096, kind.StateBytes([1024, 4096]), tolerance: 1e-6);
        Assert.Equal(name, kind.Name());
    }

    [Fact]
    public void Adapters_alone_are_trained()
    {
        const int Rank = 16;
        // q and o: 4096 to 4096; k and v: 4096 to 1024; gate, up and down: 4096 and 14336.
        const double Adapters = 32.0 * Rank * (2 * 8192 + 2 * 5120 + 3 * 18432);
        var plan = Planner.Plans(_llama, _eightGpus with { Gpus = 1, LoraRank = Rank }).First();
        Assert.Equal((4 * Adapters, 8 * Adapters), (plan.Gradients, plan.Optimizer));
        Assert.Equal(2 * Llama + 4 * Adapters + Rotary, plan.Parameters);
        Assert.Equal(2 * Adapters, plan.Communication);
    }

    [Fact]
    public void Without_mixed_precision_there_are_no_copies()
    {
        var plans = Planner.Plans(_llama, _eightGpus with { MixedPrecision = "no" });
        Assert.Equal(0, plans[0].Communication);
        Assert.Equal(4 * Llama + 4 * LlamaRoot, plans.First(plan => plan.Strategy == PlanStrategy.ShardGradOp).Communication);
    }

    [Fact]
    public void Weights_without_a_config_are_planned_without_activations()
    {
        var model = new ModelInventory("x", [new ModelTensor("w", [1000, 1000], "w")], Geometry: null);
        var plans = Planner.Plans(model, _eightGpus);
        Assert.All(plans, plan => Assert.Null(plan.Activations));
        Assert.All(plans, plan => Assert.False(plan.Checkpointing));
    }

    [Fact]
    public void What_does_not_suit_is_refused()
    {
        Assert.Throws<EstimationException>(() => Planner.Plans(_llama, _eightGpus with { Machines = 3 }));
        Assert.Throws<EstimationException>(() => Planner.Plans(_llama, _eightGpus with { SequenceLength = 8193 }));
        Assert.Throws<EstimationException>(() => Planner.Plans(_llama, _eightGpus with { LoraRank = 0 }));
        Assert.Throws<EstimationException>(() => Planner.Plans(_llama, _eightGpus with { BatchSize = 0 }));
    }

    [Fact]
    public void A_plan_becomes_a_configuration()
    {
        var plan = Planner.Plans(_llama, _eightGpus).First(plan => plan is { Strategy: PlanStrategy.FullShard, Checkpointing: true });
        Assert.Equal(
            """
            compute_environment: LOCAL_MACHINE
            debug: false
            distributed_type: FSDP
            fsdp_config:
              fsdp_activation_checkpointing: true
              fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
              fsdp_backward_prefetch: BACKWARD_PRE
              fsdp_cpu_ram_efficient_loading: true
              fsdp_forward_prefetch: false
              fsdp_offload_params: false
              fsdp_sharding_strategy: FULL_SHARD
              fsdp_state_dict_type: SHARDED_STATE_DICT
              fsdp_sync_module_states: true
              fsdp_use_orig_params: true
            machine_rank: 0
            main_training_function: main
            mixed_precision: bf16
            num_machines: 1
            num_processes: 8
            use_cpu: false

            """, PlanConfig.ToYaml(plan, _eightGpus));
        var alone = PlanConfig.ToYaml(plan with { Strategy = PlanStrategy.OneGpu }, _eightGpus with { MixedPrecision = "no" });
        Assert.Contains("distributed_type: 'NO'", alone, StringComparison.Ordinal);
        Assert.Contains("mixed_precision: 'no'", alone, StringComparison.Ordinal);
        Assert.Contains("num_processes: 1", alone, StringComparison.Ordinal);
    }
}
