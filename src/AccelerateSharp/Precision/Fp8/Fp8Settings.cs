using TorchSharp.Modules;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>How linear layers compute in float8, in no dialect: the recipes are all translated to this.</summary>
internal sealed record Fp8Settings
{
    /// <summary>Of inputs and weights.</summary>
    public Float8Kind Forward { get; init; } = Float8Kind.E4M3;

    /// <summary>Of the gradients of outputs.</summary>
    public Float8Kind Backward { get; init; } = Float8Kind.E5M2;

    /// <summary>Null: every tensor is scaled by itself, in a second pass over it.</summary>
    public DelayedScalingSettings? Delayed { get; init; }

    /// <summary>Powers of two to stay below the format's largest number.</summary>
    public int Margin { get; init; }

    /// <summary>Whether a scale belongs to each row of a matrix rather than to the whole; only without <see cref="Delayed"/>.</summary>
    public bool Rowwise { get; init; }

    /// <summary>Whether layers compute in float8 in evaluation mode too.</summary>
    public bool InEvaluation { get; init; }

    /// <summary>Whether the gradients of weights are computed in bfloat16.</summary>
    public bool WeightGradientInBFloat16 { get; init; }

    /// <summary>Layers whose weight has fewer elements are left alone.</summary>
    public long MinWeightElements { get; init; }

    /// <summary>Whether the model's first and last linear layer are left alone.</summary>
    public bool SkipsEnds { get; init; }

    /// <summary>Chooses layers by dotted name; null: all.</summary>
    public Func<string, Linear, bool>? Filter { get; init; }

    /// <summary>MS-AMP's level; null: weights, gradients and optimizer states keep their dtype.</summary>
    public MSAMPOptLevel? Level { get; init; }
}

/// <summary>Transformer Engine's delayed scaling.</summary>
/// <param name="HistoryLength">Steps that the history of largest magnitudes goes back.</param>
/// <param name="UseMax">The largest of the history decides; else the most recent.</param>
/// <param name="Interval">Steps between new scales.</param>
internal sealed record DelayedScalingSettings(int HistoryLength, bool UseMax, int Interval);
