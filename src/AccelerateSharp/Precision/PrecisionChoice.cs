using AccelerateSharp.Launch;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision;

/// <summary>Which precision a run computes in, and in which dtype that is.</summary>
internal static class PrecisionChoice
{
    /// <summary>What the program says, else <c>ACCELERATE_MIXED_PRECISION</c>, else the precision of the weights.</summary>
    /// <exception cref="ArgumentException">Neither is the name of a precision.</exception>
    public static MixedPrecision Of(MixedPrecision? fromProgram, EnvironmentReader environment)
    {
        if (fromProgram is { } chosen)
            return Enum.IsDefined(chosen) ? chosen : throw new ArgumentOutOfRangeException(nameof(fromProgram), chosen, "mixedPrecision is none of No, BF16, FP16 and FP8.");
        return environment.Text(EnvironmentVariables.MixedPrecision) is { } text ? Parse(text) : MixedPrecision.No;
    }

    /// <summary>The float8 recipe with all its values: what the program says, else <c>ACCELERATE_FP8_BACKEND</c>, else Transformer Engine's.</summary>
    /// <exception cref="ArgumentException">There is a recipe, and another precision.</exception>
    public static FP8RecipeKwargs? Recipe(MixedPrecision precision, FP8RecipeKwargs? fromProgram, EnvironmentReader environment)
    {
        if (precision == MixedPrecision.FP8)
        {
            var variables = new Fp8Environment(environment);
            return (fromProgram ?? variables.Backend() ?? new TERecipeKwargs()).Resolve(variables);
        }

        return fromProgram is null
            ? null
            : throw new ArgumentException($"fp8Recipe is a {fromProgram.GetType().Name}, and the mixed precision is {precision}. Use mixedPrecision: MixedPrecision.FP8, or leave fp8Recipe out.", nameof(fromProgram));
    }

    /// <summary>The dtype that autocast computes in; null where it stays off.</summary>
    public static ScalarType? AutocastDtype(MixedPrecision precision) => precision switch
    {
        MixedPrecision.BF16 or MixedPrecision.FP8 => ScalarType.BFloat16,
        MixedPrecision.FP16 => ScalarType.Float16,
        _ => null,
    };

    private static MixedPrecision Parse(string text) => text.ToLowerInvariant() switch
    {
        "no" => MixedPrecision.No,
        "bf16" => MixedPrecision.BF16,
        "fp16" => MixedPrecision.FP16,
        "fp8" => MixedPrecision.FP8,
        _ => throw new ArgumentException($"ACCELERATE_MIXED_PRECISION is '{text}'; it must be no, bf16, fp16 or fp8 (accelerate launch --mixed_precision)."),
    };
}
