namespace AccelerateSharp.Estimation.Planning;

/// <summary>The ways to spread training over GPUs.</summary>
internal enum PlanStrategy
{
    OneGpu,
    DataParallel,
    ShardGradOp,
    FullShard,
    HybridShard,
    Offload,
}

/// <summary>The names of <see cref="PlanStrategy"/>.</summary>
internal static class PlanStrategies
{
    public static string Name(this PlanStrategy strategy) => strategy switch
    {
        PlanStrategy.OneGpu => "one GPU",
        PlanStrategy.DataParallel => "DDP",
        PlanStrategy.ShardGradOp => "SHARD_GRAD_OP",
        PlanStrategy.FullShard => "FULL_SHARD",
        PlanStrategy.HybridShard => "HYBRID_SHARD",
        _ => "CPU offload",
    };
}
