namespace AccelerateSharp.Estimation.Planning;

/// <summary>The optimizers whose states are known.</summary>
internal enum OptimizerKind
{
    AdamW,
    AdamW8Bit,
    Sgd,
    SgdMomentum,
    Lion,
    Adafactor,
}

/// <summary>The size of an optimizer's states.</summary>
internal static class OptimizerKinds
{
    // Tensors below this size keep states of 32 bits; above it, each block of 256 has a scale of 32 bits.
    private const int SmallestQuantised = 4096, QuantisedBlock = 256;

    private static readonly (string Name, OptimizerKind Kind)[] _names =
    [
        ("adamw", OptimizerKind.AdamW), ("adamw_8bit", OptimizerKind.AdamW8Bit), ("sgd", OptimizerKind.Sgd),
        ("sgd_momentum", OptimizerKind.SgdMomentum), ("lion", OptimizerKind.Lion), ("adafactor", OptimizerKind.Adafactor),
    ];

    public static IReadOnlyList<string> Names { get; } = [.. _names.Select(entry => entry.Name)];

    public static OptimizerKind Parse(string name) => _names.First(entry => entry.Name == name).Kind;

    public static string Name(this OptimizerKind kind) => _names.First(entry => entry.Kind == kind).Name;

    /// <summary>The states of a tensor, in bytes.</summary>
    public static double StateBytes(this OptimizerKind kind, IReadOnlyList<long> shape)
    {
        double count = shape.Aggregate(1L, (product, extent) => checked(product * extent));
        return kind switch
        {
            OptimizerKind.AdamW => 8 * count,
            OptimizerKind.AdamW8Bit => count < SmallestQuantised ? 8 * count : count * (2 + 8d / QuantisedBlock),
            OptimizerKind.SgdMomentum or OptimizerKind.Lion => 4 * count,
            // A matrix keeps a number for each row and each column (Shazeer and Stern, 2018), without momentum.
            OptimizerKind.Adafactor => shape.Count < 2 || count == 0 ? 4 * count : 4 * (count / shape[^1] + count / shape[^2]),
            _ => 0,
        };
    }
}
