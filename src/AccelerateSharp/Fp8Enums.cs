namespace AccelerateSharp;

/// <summary>Which float8 formats a recipe uses.</summary>
public enum Fp8Format
{
    /// <summary>E4M3 (up to 448, 3 bits of mantissa) in forward, E5M2 (up to 57,344, 2 bits) for gradients.</summary>
    Hybrid,

    /// <summary>E4M3 throughout.</summary>
    E4M3,
}

/// <summary>Which of a tensor's former largest magnitudes decides its scale.</summary>
public enum AmaxComputeAlgo
{
    /// <summary>That of the last step.</summary>
    MostRecent,

    /// <summary>The largest of the history.</summary>
    Max,
}

/// <summary>What shares a scale.</summary>
public enum Float8Scaling
{
    /// <summary>A whole tensor.</summary>
    Tensorwise,

    /// <summary>A row of a matrix, which is a token of the input and an output feature of the weight: closer to the exact product, slower.</summary>
    Rowwise,
}

/// <summary>MS-AMP's levels (Peng et al., "FP8-LM", 2023); each includes those before it.</summary>
public enum MSAMPOptLevel
{
    /// <summary>Weights in float16; their gradients, and what is sent of them, in float8.</summary>
    O1,

    /// <summary>Adam's first moment in float8, its second in float16.</summary>
    O2,

    /// <summary>Weights in float8, with master weights in float16.</summary>
    O3,
}
