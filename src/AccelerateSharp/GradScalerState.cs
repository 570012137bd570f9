namespace AccelerateSharp;

/// <summary>All that a <see cref="GradScaler"/> remembers: what a checkpoint holds of it.</summary>
public sealed class GradScalerState
{
    /// <summary>What the loss is multiplied by.</summary>
    public required double Scale { get; init; }

    /// <summary>Steps without an overflow since the scale changed.</summary>
    public required int GrowthTracker { get; init; }

    /// <inheritdoc cref="GradScalerKwargs.GrowthFactor"/>
    public required double GrowthFactor { get; init; }

    /// <inheritdoc cref="GradScalerKwargs.BackoffFactor"/>
    public required double BackoffFactor { get; init; }

    /// <inheritdoc cref="GradScalerKwargs.GrowthInterval"/>
    public required int GrowthInterval { get; init; }

    /// <summary>Overflows until the scale shrinks; 1 but under DeepSpeed's rule.</summary>
    public int Hysteresis { get; init; } = 1;
}
