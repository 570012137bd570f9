using AccelerateSharp.Precision.Fp8;

namespace AccelerateSharp;

/// <summary>MS-AMP's recipe: float8 products, and float8 also for what is stored and sent, in three levels.</summary>
/// <remarks>Unlike every other mixed precision it converts the weights of the linear layers that take part. Peng et al., "FP8-LM: Training FP8 Large Language Models", 2023.</remarks>
public sealed record MSAMPRecipeKwargs : FP8RecipeKwargs
{
    /// <summary>The level (<c>ACCELERATE_FP8_OPT_LEVEL</c>; O2).</summary>
    public MSAMPOptLevel? OptLevel { get; init; }

    internal override FP8RecipeKwargs Resolve(Fp8Environment environment) =>
        this with { OptLevel = OptLevel ?? environment.OptLevel() ?? MSAMPOptLevel.O2 };

    internal override Fp8Settings ToSettings(bool multiplies) => new()
    {
        Delayed = new DelayedScalingSettings(16, UseMax: true, Interval: 1),
        // Weights in float8 cannot be multiplied in another way.
        InEvaluation = OptLevel == MSAMPOptLevel.O3,
        MinWeightElements = MinWeightElements is null ? 0 : MinElements(multiplies),
        Level = OptLevel,
    };
}
