using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;

namespace AccelerateSharp;

/// <summary>torchao's recipe: every tensor is scaled by its own largest magnitude; the first and the last linear layer are left alone.</summary>
/// <remarks>It takes a second pass over each tensor, and has no history that an outlier could surprise.</remarks>
public sealed record AORecipeKwargs : FP8RecipeKwargs
{
    /// <summary>Chooses layers by dotted name, beside the recipe's own rules; null: all.</summary>
    public Func<string, Linear, bool>? ModuleFilter { get; init; }

    /// <summary>What shares a scale; a whole tensor by default.</summary>
    public Float8Scaling Scaling { get; init; } = Float8Scaling.Tensorwise;

    internal override FP8RecipeKwargs Resolve(Fp8Environment environment) => this;

    internal override Fp8Settings ToSettings(bool multiplies) => new()
    {
        SkipsEnds = true,
        Rowwise = Scaling == Float8Scaling.Rowwise,
        // As in torchao, whose rows have all the precision that gradients need.
        Backward = Scaling == Float8Scaling.Rowwise ? Float8Kind.E4M3 : Float8Kind.E5M2,
        Filter = ModuleFilter,
        MinWeightElements = MinElements(multiplies),
    };
}
