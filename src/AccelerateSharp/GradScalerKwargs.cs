namespace AccelerateSharp;

/// <summary>How the loss is scaled under fp16. The defaults are PyTorch's.</summary>
public sealed class GradScalerKwargs
{
    /// <summary>The scale of the first step; 65536 by default. A power of two scales without rounding.</summary>
    public double InitScale { get; init; } = 65536;

    /// <summary>What the scale is multiplied by after <see cref="GrowthInterval"/> steps without an overflow; 2 by default, above 1.</summary>
    public double GrowthFactor { get; init; } = 2;

    /// <summary>What the scale is multiplied by after an overflow; 0.5 by default, between 0 and 1.</summary>
    public double BackoffFactor { get; init; } = 0.5;

    /// <summary>Steps in a row without an overflow until the scale grows; 2000 by default.</summary>
    public int GrowthInterval { get; init; } = 2000;

    /// <summary>Whether the loss is scaled at all; true by default.</summary>
    public bool Enabled { get; init; } = true;

    internal void Validate()
    {
        if (!(InitScale > 0) || double.IsInfinity(InitScale)) throw Wrong(nameof(InitScale), InitScale, "above 0");
        if (!(GrowthFactor > 1) || double.IsInfinity(GrowthFactor)) throw Wrong(nameof(GrowthFactor), GrowthFactor, "above 1");
        if (!(BackoffFactor > 0 && BackoffFactor < 1)) throw Wrong(nameof(BackoffFactor), BackoffFactor, "between 0 and 1");
        if (GrowthInterval < 1) throw Wrong(nameof(GrowthInterval), GrowthInterval, "1 or more");
    }

    private static ArgumentOutOfRangeException Wrong(string name, object value, string range) =>
        new($"gradScaler.{name}", value, $"GradScalerKwargs.{name} must be {range}.");
}
