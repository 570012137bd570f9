using System.Text.RegularExpressions;
using AccelerateSharp.Launch;
using AccelerateSharp.Parallel.Sharding;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>
/// Fully sharded data parallelism: parameters, gradients and optimizer states are divided between the ranks.
/// </summary>
/// <remarks>
/// <para>
/// Give it to <c>new Accelerator(fsdpPlugin: …)</c>; where <c>ACCELERATE_USE_FSDP</c> is true, as <c>accelerate launch</c> sets it,
/// an accelerator without one makes its own. A property that is not set takes its value from the <c>FSDP_*</c> environment, else its
/// default. Names follow Hugging Face Accelerate; the design is that of Zhao et al., "PyTorch FSDP", VLDB 2023.
/// </para>
/// <para>Version 2 is the same engine with FSDP2's words and defaults.</para>
/// </remarks>
public sealed record FullyShardedDataParallelPlugin
{
    /// <summary>1 or 2: whose vocabulary the other properties follow (<c>FSDP_VERSION</c>; 1).</summary>
    public int? FsdpVersion { get; init; }

    /// <summary>What is divided (<c>FSDP_SHARDING_STRATEGY</c>; <see cref="ShardingStrategy.FullShard"/>). Version 1; version 2 uses <see cref="ReshardAfterForward"/>.</summary>
    public ShardingStrategy? ShardingStrategy { get; init; }

    /// <summary>
    /// Version 2: free whole parameters after forward (<c>FSDP_RESHARD_AFTER_FORWARD</c>; true), keep them until backward is done (false), or
    /// keep each rank's part of a smaller group of ranks (<see cref="ReshardGroupSize"/>).
    /// </summary>
    public bool? ReshardAfterForward { get; init; }

    /// <summary>Version 2: between forward and backward a unit is divided between this many ranks only, so that the second gather stays near. A divisor of the shard group's size.</summary>
    public int? ReshardGroupSize { get; init; }

    /// <summary>Hybrid strategies: ranks that share one copy of the model; the ranks of one machine by default. A divisor of the number of processes.</summary>
    public int? ShardGroupSize { get; init; }

    /// <summary>When the next unit is gathered in backward (<c>FSDP_BACKWARD_PREFETCH</c>; <see cref="BackwardPrefetch.BackwardPre"/>).</summary>
    public BackwardPrefetch? BackwardPrefetch { get; init; }

    /// <summary>
    /// Accepted for the sake of existing programs (<c>FSDP_FORWARD_PREFETCH</c>): from the second forward on the next unit is on its way while this
    /// one computes, whatever is set. True is answered with a notice.
    /// </summary>
    public bool? ForwardPrefetch { get; init; }

    /// <summary>
    /// Accepted for the sake of existing programs: never more than two units besides the model's own are whole at once. False is answered
    /// with a notice.
    /// </summary>
    public bool LimitAllGathers { get; init; } = true;

    /// <summary>The dtypes to compute and reduce in; by default those of the accelerator's mixed precision.</summary>
    public FsdpMixedPrecisionPolicy? MixedPrecisionPolicy { get; init; }

    /// <summary>Which modules are units (<c>FSDP_AUTO_WRAP_POLICY</c>; <see cref="AutoWrapPolicy.NoWrap"/>).</summary>
    public AutoWrapPolicy? AutoWrapPolicy { get; init; }

    /// <summary>A choice of units of one's own, in place of <see cref="AutoWrapPolicy"/>: dotted name and module.</summary>
    public Func<string, Module, bool>? WrapWhere { get; init; }

    /// <summary>
    /// Class names of the units (<c>FSDP_TRANSFORMER_CLS_TO_WRAP</c>, separated by commas). By default what the model declares
    /// (<see cref="ITransformerModel"/>), else the class that the model repeats most.
    /// </summary>
    public IReadOnlyList<string>? TransformerClsNamesToWrap { get; init; }

    /// <summary>For <see cref="AutoWrapPolicy.SizeBasedWrap"/> (<c>FSDP_MIN_NUM_PARAMS</c>; 0: no units).</summary>
    public long? MinNumParams { get; init; }

    /// <summary>Whether shards and optimizer states live in host memory, where the optimizer then works (<c>FSDP_OFFLOAD_PARAMS</c>; false).</summary>
    public bool? OffloadParams { get; init; }

    /// <summary>Modules that are left out, with all below them: not divided, gradients not averaged.</summary>
    public IReadOnlyList<Module>? IgnoredModules { get; init; }

    /// <summary>The same by a regular expression over the whole dotted name (<c>FSDP_IGNORED_MODULES</c>).</summary>
    public string? IgnoredModulePattern { get; init; }

    /// <summary>The kind of state dict that is taken by default (<c>FSDP_STATE_DICT_TYPE</c>; version 1: full, version 2: sharded).</summary>
    public StateDictType? StateDictType { get; init; }

    /// <summary>
    /// Parameters stay objects of their own in either case (<c>FSDP_USE_ORIG_PARAMS</c>). False: as in PyTorch, a unit must then be trained as
    /// a whole or not at all, which is checked.
    /// </summary>
    public bool? UseOrigParams { get; init; }

    /// <summary>Whether all ranks start from rank 0's weights (<c>FSDP_SYNC_MODULE_STATES</c>; true). False: each rank's own, which must be equal.</summary>
    public bool? SyncModuleStates { get; init; }

    /// <summary>
    /// Whether rank 0 alone has the weights (<c>FSDP_CPU_RAM_EFFICIENT_LOADING</c>; false), which needs <see cref="SyncModuleStates"/>. Build the
    /// model there, and with <see cref="BigModeling.InitEmptyWeights"/> on the other ranks; <c>Prepare</c> sends it unit by unit.
    /// </summary>
    public bool? CpuRamEfficientLoading { get; init; }

    /// <summary>
    /// Makes the values of parameters that are on the meta device on every rank: called with the dotted name and this rank's part of the
    /// parameter, in one dimension, on the device. Ranks should draw different random numbers.
    /// </summary>
    public Action<string, Tensor>? ParamInitFn { get; init; }

    /// <summary>
    /// Whether activations inside of units are computed again in backward (<c>FSDP_ACTIVATION_CHECKPOINTING</c>; false). Without units it is the
    /// model's layers, as <see cref="AccelerateSharp.ActivationCheckpointing.Apply"/> finds them.
    /// </summary>
    public bool? ActivationCheckpointing { get; init; }

    /// <summary>The plugin with every property that was not set filled from the environment and the defaults.</summary>
    /// <exception cref="ArgumentException">A value is wrong, or two contradict each other; the message names the setting.</exception>
    internal FullyShardedDataParallelPlugin Resolve(EnvironmentReader environment)
    {
        var values = new FsdpEnvironment(environment);
        var version = FsdpVersion ?? values.Version ?? 1;
        var explicitReshard = ReshardAfterForward ?? values.ReshardAfterForward(version);
        var strategy = ShardingStrategy ?? values.Strategy;
        var resolved = this with
        {
            FsdpVersion = version,
            ShardingStrategy = version == 1 ? strategy ?? AccelerateSharp.ShardingStrategy.FullShard
                : (explicitReshard ?? true) ? AccelerateSharp.ShardingStrategy.FullShard : AccelerateSharp.ShardingStrategy.ShardGradOp,
            ReshardAfterForward = explicitReshard ?? true,
            ReshardGroupSize = ReshardGroupSize ?? values.ReshardGroupSize(version),
            BackwardPrefetch = BackwardPrefetch ?? values.BackwardPrefetch ?? AccelerateSharp.BackwardPrefetch.BackwardPre,
            ForwardPrefetch = ForwardPrefetch ?? values.Flag("FORWARD_PREFETCH"),
            AutoWrapPolicy = AutoWrapPolicy ?? values.WrapPolicy ?? AccelerateSharp.AutoWrapPolicy.NoWrap,
            TransformerClsNamesToWrap = TransformerClsNamesToWrap ?? values.Classes,
            MinNumParams = MinNumParams ?? values.MinNumParams ?? 0,
            OffloadParams = OffloadParams ?? values.Flag("OFFLOAD_PARAMS") ?? false,
            IgnoredModulePattern = IgnoredModulePattern ?? values.Text("IGNORED_MODULES"),
            StateDictType = StateDictType ?? values.StateDictType ?? (version == 1 ? AccelerateSharp.StateDictType.FullStateDict : AccelerateSharp.StateDictType.ShardedStateDict),
            UseOrigParams = UseOrigParams ?? (version == 1 ? values.Flag("USE_ORIG_PARAMS") : null) ?? true,
            CpuRamEfficientLoading = CpuRamEfficientLoading ?? values.Flag("CPU_RAM_EFFICIENT_LOADING") ?? false,
            SyncModuleStates = SyncModuleStates ?? (version == 1 ? values.Flag("SYNC_MODULE_STATES") : null) ?? true,
            ActivationCheckpointing = ActivationCheckpointing ?? values.Flag("ACTIVATION_CHECKPOINTING") ?? false,
        };
        resolved.Validate(set: this);
        return resolved;
    }

    /// <summary>Settings of a resolved plugin that change nothing, each with the reason.</summary>
    internal IEnumerable<string> WithoutEffect()
    {
        if (!LimitAllGathers) yield return "FSDP: LimitAllGathers = false has no effect: never more than two units are whole at once, which is enough to gather while computing.";
        if (ForwardPrefetch == true) yield return "FSDP: forward_prefetch has no effect: the next unit is always gathered while this one computes.";
    }

    /// <summary>The engine's options for a resolved plugin.</summary>
    internal ShardingOptions ToOptions(ScalarType? precision, int localWorldSize)
    {
        var policy = MixedPrecisionPolicy ?? (precision is { } dtype ? FsdpMixedPrecisionPolicy.Of(dtype) : new());
        var isHybrid = ShardingStrategy is AccelerateSharp.ShardingStrategy.HybridShard or AccelerateSharp.ShardingStrategy.HybridShardZero2;
        return new ShardingOptions
        {
            Stage = ShardingStrategy switch
            {
                AccelerateSharp.ShardingStrategy.NoShard => ShardingStage.None,
                AccelerateSharp.ShardingStrategy.ShardGradOp or AccelerateSharp.ShardingStrategy.HybridShardZero2 => ShardingStage.Gradients,
                _ => ShardingStage.Parameters,
            },
            ShardGroupSize = isHybrid ? ShardGroupSize ?? localWorldSize : null,
            ReshardGroupSize = ReshardGroupSize,
            ParameterDtype = policy.ParamDtype,
            ReduceDtype = policy.ReduceDtype,
            BufferDtype = policy.BufferDtype,
            CastInputs = policy.CastForwardInputs,
            MasterWeights = precision is not null,
            OffloadParameters = OffloadParams == true,
            BackwardPrefetch = BackwardPrefetch switch
            {
                AccelerateSharp.BackwardPrefetch.BackwardPre => BackwardPrefetchMoment.BeforeGradients,
                AccelerateSharp.BackwardPrefetch.BackwardPost => BackwardPrefetchMoment.AfterGradients,
                _ => BackwardPrefetchMoment.None,
            },
            SyncModuleStates = SyncModuleStates == true,
            Initialize = ParamInitFn,
            CheckpointActivations = ActivationCheckpointing == true,
        };
    }

    /// <summary>The units of a model under a resolved plugin.</summary>
    internal UnitPlan Plan(Module model)
    {
        var pattern = IgnoredModulePattern is { } text ? new Regex($"^(?:{text})$", RegexOptions.CultureInvariant) : null;
        var ignored = (IgnoredModules ?? []).Concat(pattern is null ? [] : model.named_modules().Where(item => pattern.IsMatch(item.name)).Select(item => item.module));
        var isUnit = WrapWhere ?? AutoWrapPolicy switch
        {
            AccelerateSharp.AutoWrapPolicy.TransformerBasedWrap => WrapPolicies.ByClass(model, TransformerClsNamesToWrap),
            AccelerateSharp.AutoWrapPolicy.SizeBasedWrap => WrapPolicies.BySize(model, MinNumParams!.Value),
            _ => static (_, _) => false,
        };
        return new UnitPlan(model, isUnit, ignored, mixesTrainable: UseOrigParams == true);
    }

    private void Validate(FullyShardedDataParallelPlugin set)
    {
        if (FsdpVersion is not (1 or 2)) throw new ArgumentException($"FSDP: fsdp_version is {FsdpVersion}; there are 1 and 2.", nameof(FsdpVersion));
        if (FsdpVersion == 1 && (set.ReshardAfterForward is not null || set.ReshardGroupSize is not null))
            throw new ArgumentException("FSDP version 1 has no reshard_after_forward: choose ShardingStrategy (FullShard frees parameters after forward, ShardGradOp keeps them), or FsdpVersion = 2.", nameof(ReshardAfterForward));
        if (FsdpVersion == 2 && set.ForwardPrefetch is not null)
            throw new ArgumentException("FSDP version 2 has no forward_prefetch: leave it out.", nameof(ForwardPrefetch));
        if (FsdpVersion == 2 && StateDictType == AccelerateSharp.StateDictType.LocalStateDict)
            throw new ArgumentException("FSDP version 2 has no LOCAL_STATE_DICT: use SHARDED_STATE_DICT, which any number of ranks can load.", nameof(StateDictType));
        if (MinNumParams < 0) throw new ArgumentException($"FSDP: min_num_params is {MinNumParams}; it counts parameters, from 0 on.", nameof(MinNumParams));
        if (ReshardGroupSize < 2) throw new ArgumentException($"FSDP: reshard_after_forward is {ReshardGroupSize} ranks; a number has to be 2 or more. Use false to keep parameters whole.", nameof(ReshardGroupSize));
        if (ShardGroupSize < 1) throw new ArgumentException($"FSDP: ShardGroupSize is {ShardGroupSize}; it counts ranks, from 1 on.", nameof(ShardGroupSize));
        if (CpuRamEfficientLoading == true && SyncModuleStates == false)
            throw new ArgumentException("FSDP: cpu_ram_efficient_loading has weights on rank 0 alone, so it needs sync_module_states: true.", nameof(SyncModuleStates));
        Check(ShardingStrategy);
        Check(BackwardPrefetch);
        Check(AutoWrapPolicy);
        Check(StateDictType);
    }

    private static void Check<TEnum>(TEnum? value)
        where TEnum : struct, Enum
    {
        if (value is { } set && !Enum.IsDefined(set)) throw new ArgumentException($"FSDP: there is no {typeof(TEnum).Name} {set}; choose one of {string.Join(", ", Enum.GetNames<TEnum>())}.");
    }
}
