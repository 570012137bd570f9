namespace AccelerateSharp;

/// <summary>What FSDP divides between the ranks. Names and numbers are PyTorch's.</summary>
public enum ShardingStrategy
{
    /// <summary>Parameters, gradients and optimizer states; whole parameters exist only while their unit computes (ZeRO-3).</summary>
    FullShard = 1,

    /// <summary>Gradients and optimizer states; parameters stay whole from forward to the end of backward (ZeRO-2).</summary>
    ShardGradOp = 2,

    /// <summary>Nothing: data-parallel training.</summary>
    NoShard = 3,

    /// <summary>As <see cref="FullShard"/> inside each group of ranks (a machine by default), replicated across groups.</summary>
    HybridShard = 4,

    /// <summary>As <see cref="ShardGradOp"/> inside each group of ranks, replicated across groups.</summary>
    HybridShardZero2 = 5,
}

/// <summary>When the next unit is gathered in backward.</summary>
public enum BackwardPrefetch
{
    /// <summary>When it is needed: the least memory, no overlap.</summary>
    NoPrefetch = 0,

    /// <summary>Before the current unit's gradients are computed: the most overlap.</summary>
    BackwardPre = 1,

    /// <summary>When the current unit's gradients are computed: one unit fewer in memory, less overlap.</summary>
    BackwardPost = 2,
}

/// <summary>How a state dict of a sharded model is taken.</summary>
public enum StateDictType
{
    /// <summary>Whole tensors, in host memory, on rank 0 alone.</summary>
    FullStateDict = 1,

    /// <summary>Each rank's flat buffers, as they are: can only be loaded by the same number of ranks.</summary>
    LocalStateDict = 2,

    /// <summary>Each rank's part of every parameter: can be loaded by any number of ranks.</summary>
    ShardedStateDict = 3,
}

/// <summary>Which modules of a model become units that are gathered and freed on their own.</summary>
public enum AutoWrapPolicy
{
    /// <summary>None: the model is gathered as one.</summary>
    NoWrap,

    /// <summary>Modules of the classes in <see cref="FullyShardedDataParallelPlugin.TransformerClsNamesToWrap"/>: a transformer's layers.</summary>
    TransformerBasedWrap,

    /// <summary>Modules with at least <see cref="FullyShardedDataParallelPlugin.MinNumParams"/> parameters that no smaller unit holds.</summary>
    SizeBasedWrap,
}
