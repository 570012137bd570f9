using AccelerateSharp.Parallel.Swap;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>What is divided between the ranks of a shard group; each stage includes those before it (ZeRO's numbers).</summary>
internal enum ShardingStage
{
    /// <summary>Nothing: every rank holds everything, gradients are all-reduced.</summary>
    None = 0,

    /// <summary>Optimizer states. The gathered parameters stay from the forward to the end of the backward, and so do those of stage 2.</summary>
    OptimizerStates = 1,

    /// <summary>Optimizer states and gradients.</summary>
    Gradients = 2,

    /// <summary>Optimizer states, gradients and parameters: these are there only while their unit computes.</summary>
    Parameters = 3,
}

/// <summary>When the gather of the next unit starts in backward.</summary>
internal enum BackwardPrefetchMoment
{
    /// <summary>When the unit is needed: no overlap, one unit in memory.</summary>
    None,

    /// <summary>Before the current unit's gradients are computed.</summary>
    BeforeGradients,

    /// <summary>When the current unit's gradients are there and its parameters are freed.</summary>
    AfterGradients,
}

/// <summary>How a model is sharded, in no dialect: FSDP's and DeepSpeed's vocabularies are both translated to this.</summary>
internal sealed record ShardingOptions
{
    public ShardingStage Stage { get; init; } = ShardingStage.Parameters;

    /// <summary>Ranks that share one copy of the model; null: all. Fewer: each group of that many neighbours holds a whole copy.</summary>
    public int? ShardGroupSize { get; init; }

    /// <summary>Ranks that share a unit between forward and backward; null: as many as between steps. Divides <see cref="ShardGroupSize"/>.</summary>
    public int? ReshardGroupSize { get; init; }

    /// <summary>The dtype that units compute in and are gathered in; null: that of the weights.</summary>
    public ScalarType? ParameterDtype { get; init; }

    /// <summary>The dtype in which gradients are reduced; null: the compute dtype.</summary>
    public ScalarType? ReduceDtype { get; init; }

    /// <summary>The dtype of floating-point buffers; null: as they are.</summary>
    public ScalarType? BufferDtype { get; init; }

    /// <summary>Whether floating-point inputs of the model are cast to <see cref="ParameterDtype"/>.</summary>
    public bool CastInputs { get; init; } = true;

    /// <summary>Keep the shards of trainable parameters, and so the optimizer's states, in fp32 whatever the weights were loaded in.</summary>
    public bool MasterWeights { get; init; }

    /// <summary>Whether shards, and so the optimizer's work, live in host memory.</summary>
    public bool OffloadParameters { get; init; }

    /// <summary>Offloaded shards stay on the device too, in the compute dtype: they are copied from the host once for each step, not for each gather.</summary>
    public bool KeepComputeShards { get; init; }

    /// <summary>The file in which shards live between their uses; null: none.</summary>
    public SwapSettings? ParameterSwap { get; init; }

    public BackwardPrefetchMoment BackwardPrefetch { get; init; } = BackwardPrefetchMoment.BeforeGradients;

    /// <summary>Gather a unit while the one before it computes in forward.</summary>
    public bool ForwardPrefetch { get; init; } = true;

    /// <summary>Whether all ranks start from rank 0's weights.</summary>
    public bool SyncModuleStates { get; init; } = true;

    /// <summary>Whether the activations of units are computed again in backward.</summary>
    public bool CheckpointActivations { get; init; }

    /// <summary>Gives values to this rank's part of a parameter that came without any: its name and the part, in one dimension.</summary>
    public Action<string, Tensor>? Initialize { get; init; }

    /// <summary>Reduce after every micro-batch of an accumulation window: more communication, and gradients never whole in memory.</summary>
    public bool ReduceEveryBatch { get; init; }
}
