namespace AccelerateSharp.Estimation.Planning;

/// <summary>One way to train, and what it takes. All sizes are in bytes, and those on the GPU are of each GPU.</summary>
internal sealed record MemoryPlan
{
    public required PlanStrategy Strategy { get; init; }

    /// <summary>Whether activations inside of a block are computed again in the backward pass instead of being kept.</summary>
    public required bool Checkpointing { get; init; }

    /// <summary>The parameters that stay, and the model's buffers.</summary>
    public required double Parameters { get; init; }

    public required double Gradients { get; init; }

    public required double Optimizer { get; init; }

    /// <summary>The activations; null where the model's geometry is not known.</summary>
    public required double? Activations { get; init; }

    /// <summary>Gathered parameters, copies in the compute dtype, and gradients on their way.</summary>
    public required double Communication { get; init; }

    /// <summary>What a machine's memory holds for all of its GPUs.</summary>
    public required double Host { get; init; }

    /// <summary>Whether it is within the memory that may be used.</summary>
    public required bool Fits { get; init; }

    public double Total => Parameters + Gradients + Optimizer + (Activations ?? 0) + Communication;

    public string Name => Strategy.Name() + (Checkpointing ? " + checkpointing" : "");
}
