namespace AccelerateSharp;

/// <summary>The precision that a prepared model's forward computes in. Its weights keep their own.</summary>
public enum MixedPrecision
{
    /// <summary>Compute in the precision of the weights.</summary>
    No,

    /// <summary>bfloat16 where it is safe (matrix products, convolutions), float32 where precision matters (losses, norms).</summary>
    BF16,

    /// <summary>float16 in the same way, with the loss scaled so that small gradients survive.</summary>
    FP16,

    /// <summary>Linear layers in float8, the rest of the forward in bfloat16.</summary>
    FP8,
}
