namespace AccelerateSharp.Estimation.Planning;

/// <summary>Works out what each way to train takes, and which is the fastest that fits.</summary>
internal static class Planner
{
    private const long BucketBytes = 25L << 20;

    /// <summary>All ways that make sense on these GPUs.</summary>
    /// <exception cref="EstimationException">The request does not suit the model.</exception>
    public static IReadOnlyList<MemoryPlan> Plans(ModelInventory model, PlanRequest request)
    {
        Check(model, request);
        var sizes = new TrainingSizes(model, request);
        return [.. Strategies(request).SelectMany(strategy => ((bool[])[false, true])
            .Where(checkpointing => !checkpointing || model.Geometry is not null)
            .Select(checkpointing => Plan(strategy, checkpointing, model, sizes, request)))];
    }

    /// <summary>
    /// The fastest plan that fits, or null. All GPUs before one; without offload before with; without recomputation (a third more
    /// computation) before with; then by what is sent and cannot be hidden: DDP, SHARD_GRAD_OP, then, over several machines,
    /// HYBRID_SHARD before FULL_SHARD, which gathers over the slower network.
    /// </summary>
    public static MemoryPlan? Fastest(IEnumerable<MemoryPlan> plans, PlanRequest request) => plans.Where(plan => plan.Fits)
        .OrderBy(plan => plan.Strategy == PlanStrategy.OneGpu && request.Gpus > 1)
        .ThenBy(plan => plan.Strategy == PlanStrategy.Offload)
        .ThenBy(plan => plan.Checkpointing)
        .ThenBy(plan => plan.Strategy == PlanStrategy.HybridShard && request.Machines == 1)
        .ThenBy(plan => plan.Strategy switch { PlanStrategy.FullShard => 3, PlanStrategy.HybridShard => 2, var other => (int)other })
        .FirstOrDefault();

    private static IEnumerable<PlanStrategy> Strategies(PlanRequest request) => request.Gpus == 1
        ? [PlanStrategy.OneGpu, PlanStrategy.Offload]
        : Enum.GetValues<PlanStrategy>().Where(strategy => strategy != PlanStrategy.HybridShard || request.GpusPerMachine > 1);

    private static MemoryPlan Plan(PlanStrategy strategy, bool checkpointing, ModelInventory model, TrainingSizes sizes, PlanRequest request)
    {
        var shards = strategy switch
        {
            PlanStrategy.OneGpu or PlanStrategy.DataParallel => 1,
            PlanStrategy.HybridShard => request.GpusPerMachine,
            _ => request.Gpus,
        };
        double weights = sizes.WeightBytes / shards, gradients = 4 * sizes.Trainable / shards, optimizer = sizes.OptimizerBytes / shards;
        var isOffloaded = strategy == PlanStrategy.Offload;
        var plan = new MemoryPlan
        {
            Strategy = strategy,
            Checkpointing = checkpointing,
            Parameters = sizes.BufferBytes + (isOffloaded ? 0 : weights),
            Gradients = isOffloaded ? 0 : gradients,
            Optimizer = isOffloaded ? 0 : optimizer,
            Activations = model.Geometry is { } geometry
                ? ActivationMemory.Model(geometry, request.BatchSize, SequenceLength(geometry, request), request.ComputeBytes, checkpointing)
                : null,
            Communication = Communication(strategy, sizes, request),
            Host = isOffloaded ? (weights + gradients + optimizer) * request.GpusPerMachine : 0,
            Fits = false,
        };
        return plan with { Fits = plan.Total <= request.UsableMemory };
    }

    private static double Communication(PlanStrategy strategy, TrainingSizes sizes, PlanRequest request)
    {
        var weight = request.ComputeWeightBytes;
        // Frozen weights are kept in the compute dtype already; those that are trained are cast, and the casts live until the backward pass.
        var casts = request.MixedPrecision == "no" ? 0 : weight * sizes.Trainable;
        // Reduced while the next unit's gradients come in: two blocks, or the parts outside of blocks.
        var gradientsInFlight = request.ComputeBytes * Math.Max(sizes.RootTrainable, 2 * sizes.BlockTrainable);
        return strategy switch
        {
            PlanStrategy.OneGpu => casts,
            PlanStrategy.DataParallel => casts + BucketBytes,
            PlanStrategy.ShardGradOp => weight * sizes.All + gradientsInFlight,
            // The block at work and the next one; what lies outside of blocks stays gathered.
            _ => weight * (sizes.Root + 2 * sizes.Block) + gradientsInFlight,
        };
    }

    private static long SequenceLength(TransformerGeometry geometry, PlanRequest request) => geometry.FixedSequenceLength ?? request.SequenceLength;

    private static void Check(ModelInventory model, PlanRequest request)
    {
        if (request.Machines < 1 || request.Gpus < 1 || request.Gpus % request.Machines != 0)
            throw new EstimationException($"--num_gpus {request.Gpus} cannot be spread evenly over --num_machines {request.Machines}.");
        if (request.BatchSize < 1 || request.SequenceLength < 1) throw new EstimationException("--batch_size and --sequence_length start at 1.");
        if (request.LoraRank is { } rank)
        {
            if (rank < 1) throw new EstimationException("--lora_rank starts at 1. Leave it out to train all parameters.");
            if (!model.Tensors.Any(tensor => tensor.IsAdaptable)) throw new EstimationException("--lora_rank: this model has no matrices in blocks to adapt.");
        }
        if (model.Geometry is { FixedSequenceLength: null } geometry && request.SequenceLength > geometry.MaxSequenceLength)
            throw new EstimationException($"--sequence_length {request.SequenceLength} is more than the {geometry.MaxSequenceLength} positions of this model.");
    }
}
