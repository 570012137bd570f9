using AccelerateSharp.Precision.Fp8;

namespace AccelerateSharp;

/// <summary>Transformer Engine's recipe: float8 products with delayed scaling; weights, gradients and optimizer states keep their dtype.</summary>
public sealed record TERecipeKwargs : FP8RecipeKwargs
{
    /// <summary>Whether layers compute in float8 in evaluation mode too (<c>ACCELERATE_FP8_USE_AUTOCAST_DURING_EVAL</c>; false: bfloat16).</summary>
    public bool? UseAutocastDuringEval { get; init; }

    /// <summary>Powers of two to stay below the format's largest number (<c>ACCELERATE_FP8_MARGIN</c>; 0).</summary>
    public int? Margin { get; init; }

    /// <summary>Steps between new scales (<c>ACCELERATE_FP8_INTERVAL</c>; 1).</summary>
    public int? Interval { get; init; }

    /// <summary>The formats (<c>ACCELERATE_FP8_FORMAT</c>: HYBRID or E4M3; HYBRID).</summary>
    public Fp8Format? Format { get; init; }

    /// <summary>Steps that the history of largest magnitudes goes back (<c>ACCELERATE_FP8_AMAX_HISTORY_LEN</c>; 1024).</summary>
    public int? AmaxHistoryLen { get; init; }

    /// <summary>Which of them decides (<c>ACCELERATE_FP8_AMAX_COMPUTE_ALGO</c>: most_recent or max; most_recent).</summary>
    public AmaxComputeAlgo? AmaxComputeAlgo { get; init; }

    /// <summary>
    /// Whether the forward, the gradient of the input and that of the weight compute in bfloat16 instead (<c>ACCELERATE_FP8_OVERRIDE_FPROP</c>,
    /// <c>_DGRAD</c>, <c>_WGRAD</c>; none). As in Transformer Engine, only that of the weight can.
    /// </summary>
    public (bool Fprop, bool Dgrad, bool Wgrad)? OverrideLinearPrecision { get; init; }

    internal override FP8RecipeKwargs Resolve(Fp8Environment environment)
    {
        if (environment.Flag("USE_MXFP8_BLOCK_SCALING") == true)
        {
            throw new NotSupportedException(
                "ACCELERATE_FP8_USE_MXFP8_BLOCK_SCALING asks for scales of blocks of 32, which need compute capability 10.0 and are not supported. Unset it: scales belong to whole tensors then.");
        }

        var resolved = this with
        {
            UseAutocastDuringEval = UseAutocastDuringEval ?? environment.Flag("USE_AUTOCAST_DURING_EVAL") ?? false,
            Margin = Margin ?? environment.Whole("MARGIN") ?? 0,
            Interval = Interval ?? environment.Whole("INTERVAL") ?? 1,
            Format = Format ?? environment.Format() ?? Fp8Format.Hybrid,
            AmaxHistoryLen = AmaxHistoryLen ?? environment.Whole("AMAX_HISTORY_LEN", "AMAX_HISTORY_LENGTH") ?? 1024,
            AmaxComputeAlgo = AmaxComputeAlgo ?? environment.AmaxComputeAlgo() ?? AccelerateSharp.AmaxComputeAlgo.MostRecent,
            OverrideLinearPrecision = OverrideLinearPrecision
                ?? (environment.Flag("OVERRIDE_FPROP") ?? false, environment.Flag("OVERRIDE_DGRAD") ?? false, environment.Flag("OVERRIDE_WGRAD") ?? false),
        };
        if (resolved.Margin is < -64 or > 64) throw Wrong(nameof(Margin), resolved.Margin, "between -64 and 64");
        if (resolved.Interval < 1) throw Wrong(nameof(Interval), resolved.Interval, "1 or more");
        if (resolved.AmaxHistoryLen < 1) throw Wrong(nameof(AmaxHistoryLen), resolved.AmaxHistoryLen, "1 or more");
        if (resolved.OverrideLinearPrecision is { Fprop: true } or { Dgrad: true })
        {
            throw new ArgumentException(
                "TERecipeKwargs.OverrideLinearPrecision: only the gradient of the weight can compute in bfloat16, (false, false, true), as in Transformer Engine. "
                + "To keep whole layers out, raise MinWeightElements or use AORecipeKwargs.ModuleFilter.");
        }

        return resolved;
    }

    internal override Fp8Settings ToSettings(bool multiplies) => new()
    {
        Backward = Format == Fp8Format.E4M3 ? Float8Kind.E4M3 : Float8Kind.E5M2,
        Delayed = new DelayedScalingSettings(AmaxHistoryLen!.Value, AmaxComputeAlgo == AccelerateSharp.AmaxComputeAlgo.Max, Interval!.Value),
        Margin = Margin!.Value,
        InEvaluation = UseAutocastDuringEval!.Value,
        WeightGradientInBFloat16 = OverrideLinearPrecision!.Value.Wgrad,
        MinWeightElements = MinElements(multiplies),
    };

    private static ArgumentOutOfRangeException Wrong(string name, object? value, string range) =>
        new($"fp8Recipe.{name}", value, $"TERecipeKwargs.{name} must be {range}.");
}
