using AccelerateSharp.Precision.Fp8;

namespace AccelerateSharp;

/// <summary>How linear layers compute in float8: one of <see cref="TERecipeKwargs"/>, <see cref="AORecipeKwargs"/> and <see cref="MSAMPRecipeKwargs"/>.</summary>
/// <remarks>
/// For <c>new Accelerator(mixedPrecision: MixedPrecision.FP8, fp8Recipe: …)</c>. The names are those of Hugging Face Accelerate, whose
/// recipes lead to libraries of those names; here one engine follows all three. A property that is not set takes its value from the
/// <c>ACCELERATE_FP8_*</c> environment, which <c>accelerate launch</c> sets from its configuration, else its default.
/// </remarks>
public abstract record FP8RecipeKwargs
{
    private protected FP8RecipeKwargs()
    {
    }

    /// <summary>
    /// Linear layers whose weight has fewer elements are left alone. By default 2^20 (1024 × 1024) where the GPU multiplies float8, as
    /// smaller ones lose more by quantising than they gain; 0 elsewhere, and for MS-AMP, whose gain is memory.
    /// </summary>
    public long? MinWeightElements { get; init; }

    /// <summary>The recipe with a value for every property.</summary>
    internal abstract FP8RecipeKwargs Resolve(Fp8Environment environment);

    /// <summary>What a resolved recipe asks for.</summary>
    /// <param name="multiplies">Whether the device multiplies float8 by itself.</param>
    internal abstract Fp8Settings ToSettings(bool multiplies);

    private protected long MinElements(bool multiplies)
    {
        if (MinWeightElements < 0) throw new ArgumentOutOfRangeException($"fp8Recipe.{nameof(MinWeightElements)}", MinWeightElements, $"{GetType().Name}.{nameof(MinWeightElements)} must be 0 or more.");
        return MinWeightElements ?? (multiplies ? 1L << 20 : 0);
    }
}
