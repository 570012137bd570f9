using AccelerateSharp.Launch;
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
