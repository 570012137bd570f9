using AccelerateSharp.Kernels;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Decoders;

/// <summary>Rotates queries and keys by their positions.</summary>
internal static class Rotary
{
    /// <param name="heads">[batch, time, heads, width].</param>
    /// <param name="cos">Rows of <see cref="RotaryTables"/>.</param>
    /// <param name="sin">Rows of <see cref="RotaryTables"/>.</param>
    /// <returns>The same shape and dtype; computed in the dtype of the rows.</returns>
    public static Tensor Apply(Tensor heads, Tensor cos, Tensor sin)
    {
        if (RotaryKernel.TryApply(heads, cos, sin) is { } fused) return fused;
        using var rolled = heads.roll(heads.shape[^1] / 2, -1);
        var rotated = (heads * cos).addcmul_(rolled, sin, 1);
        if (rotated.dtype == heads.dtype) return rotated;
        using (rotated) return rotated.to(heads.dtype);
    }
}
