using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Parallel.Swap;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>What a resolved configuration comes to, in the engine's terms.</summary>
internal sealed record DeepSpeedSettings
{
    /// <summary>A module with this many parameters is gathered on its own in models that repeat no class of layers.</summary>
    private const long OwnUnit = 1_000_000;

    public required int Stage { get; init; }

    public required MixedPrecision Precision { get; init; }

    /// <summary>Compute under autocast, over fp32 parameters, in place of casting the parameters.</summary>
    public bool UsesAutocast { get; init; }

    public bool CastsInputs { get; init; } = true;

    /// <summary>In which gradients are reduced; null: the compute dtype.</summary>
    public ScalarType? ReduceDtype { get; init; }

    public LossScaleSettings? LossScale { get; init; }

    public int? ReshardGroupSize { get; init; }

    public int? ShardGroupSize { get; init; }

    /// <summary>Classes of modules that are gathered whole, whatever is in them.</summary>
    public IReadOnlyList<string> LeafClasses { get; init; } = [];

    public IReadOnlyList<string> LeafNames { get; init; } = [];

    public IReadOnlyList<string> LeafSuffixes { get; init; } = [];

    /// <summary>Whether the weights of a state dict are in 16 bits.</summary>
    public bool Saves16Bit { get; init; }

    /// <summary>Whether layers are computed again in backward.</summary>
    public bool CheckpointsActivations { get; init; }

    public DeepSpeedOffloadDevice OptimizerDevice { get; init; }

    public DeepSpeedOffloadDevice ParamDevice { get; init; }

    /// <summary>The file of optimizer states; null: they are in memory.</summary>
    public SwapSettings? OptimizerSwap { get; init; }

    /// <summary>The file of parameters; null: they are in memory.</summary>
    public SwapSettings? ParameterSwap { get; init; }

    /// <summary>The dtype that units compute in.</summary>
    public ScalarType ComputeDtype => Precision switch
    {
        MixedPrecision.No => ScalarType.Float32,
        _ when UsesAutocast => ScalarType.Float32,
        MixedPrecision.FP16 => ScalarType.Float16,
        _ => ScalarType.BFloat16,
    };

    public ShardingOptions ToOptions() => new()
    {
        Stage = (ShardingStage)Stage,
        ShardGroupSize = ShardGroupSize,
        ReshardGroupSize = Stage == 3 ? ReshardGroupSize : null,
        ParameterDtype = ComputeDtype,
        ReduceDtype = ReduceDtype,
        BufferDtype = ComputeDtype == ScalarType.Float32 ? null : ComputeDtype,
        CastInputs = CastsInputs,
        MasterWeights = true,
        OffloadParameters = OptimizerDevice != DeepSpeedOffloadDevice.None || ParamDevice != DeepSpeedOffloadDevice.None,
        KeepComputeShards = ParamDevice == DeepSpeedOffloadDevice.None,
        ParameterSwap = ParameterSwap,
        CheckpointActivations = CheckpointsActivations,
        ReduceEveryBatch = Stage >= 2,
    };

    /// <summary>The layers of a model: of the classes that it declares or repeats most, else its large modules; and what is named as a leaf.</summary>
    /// <exception cref="ArgumentException">The model has no module of a named class.</exception>
    public UnitPlan Plan(Module model)
    {
        var isLayer = WrapPolicies.LayerClasses(model) is { } classes ? WrapPolicies.ByClass(model, classes) : WrapPolicies.BySize(model, OwnUnit);
        var isLeaf = LeafClasses.Count == 0 ? null : WrapPolicies.ByClass(model, LeafClasses, "DeepSpeed", "leaf_module.classes, deepspeed_moe_layer_cls_names");
        return new UnitPlan(model, (name, module) => isLayer(name, module) || isLeaf?.Invoke(name, module) == true || LeafNames.Contains(name)
            || LeafSuffixes.Any(suffix => name.EndsWith(suffix, StringComparison.Ordinal)));
    }

    /// <summary>What is kept in which dtype: the table of the comparison of FSDP and DeepSpeed.</summary>
    public override string ToString() =>
        $"ZeRO stage {Stage}: fp32 local parameters and optimizer, {Name(Precision == MixedPrecision.No || !UsesAutocast ? ComputeDtype : Precision == MixedPrecision.FP16 ? ScalarType.Float16 : ScalarType.BFloat16)} computation{(UsesAutocast ? " under autocast" : "")}, gradients reduced in {Name(ReduceDtype ?? ComputeDtype)}"
        + (CheckpointsActivations ? ", layers computed again in backward" : "")
        + (OptimizerDevice == DeepSpeedOffloadDevice.None ? "" : $", optimizer offloaded to {OptimizerDevice.ToString().ToLowerInvariant()}")
        + (ParamDevice == DeepSpeedOffloadDevice.None ? "" : $", parameters offloaded to {ParamDevice.ToString().ToLowerInvariant()}");

    private static string Name(ScalarType dtype) => dtype switch
    {
        ScalarType.BFloat16 => "bf16",
        ScalarType.Float16 => "fp16",
        _ => "fp32",
    };
}
