using AccelerateSharp.Parallel.Sharding.Timeline;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>One forward of one unit, and what its backward still waits for.</summary>
/// <param name="unit">The unit.</param>
/// <param name="previous">The execution before it in the same forward: in backward it comes next.</param>
internal sealed class UnitExecution(ShardedUnit unit, UnitExecution? previous)
{
    public ShardedUnit Unit { get; } = unit;

    public UnitExecution? Previous { get; } = previous;

    /// <summary>The gradients of the unit's parameters have not arrived.</summary>
    public bool AwaitsParameters { get; set; }

    /// <summary>The gradients of the unit's inputs have not arrived; only watched where parameters alone do not tell the end.</summary>
    public bool AwaitsInputs { get; set; }

    /// <summary>When its backward began, where that is recorded.</summary>
    public DeviceClock.TimePoint? Started { get; set; }

    /// <summary>Whether its backward has begun, so that the whole parameters must stay.</summary>
    public bool IsOpen { get; set; }

    public bool IsComplete => !AwaitsParameters && !AwaitsInputs;
}
