namespace AccelerateSharp.Estimation;

/// <summary>How many bytes a recipe of low-precision training holds for each parameter.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Weight">The weight.</param>
/// <param name="Master">The master weight.</param>
/// <param name="Gradient">The gradient.</param>
/// <param name="Optimizer">Adam's two states.</param>
internal sealed record PrecisionRecipe(string Name, int Weight, int Master, int Gradient, int Optimizer)
{
    public static IReadOnlyList<PrecisionRecipe> All { get; } =
    [
        new("FP16 AMP", Weight: 4, Master: 0, Gradient: 4, Optimizer: 4 + 4),
        new("TE", Weight: 4, Master: 0, Gradient: 4, Optimizer: 4 + 4),
        new("MS-AMP O1", Weight: 2, Master: 0, Gradient: 1, Optimizer: 4 + 4),
        new("MS-AMP O2", Weight: 2, Master: 0, Gradient: 1, Optimizer: 1 + 2),
        new("MS-AMP O3", Weight: 1, Master: 2, Gradient: 1, Optimizer: 1 + 2),
    ];

    /// <summary>Bytes for each parameter.</summary>
    public int Total => Weight + Master + Gradient + Optimizer;
}
