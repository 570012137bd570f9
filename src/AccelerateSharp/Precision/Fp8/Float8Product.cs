using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Products of float8 matrices: <c>_scaled_mm</c> on GPUs that have them, else the same values multiplied in float32.</summary>
internal static class Float8Product
{
    private static readonly TorchOperator _scaledMultiply = TorchOperator.Get(
        "aten::_scaled_mm(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? bias=None, Tensor? scale_result=None, ScalarType? out_dtype=None, bool use_fast_accum=False) -> Tensor");

    /// <summary>left · rightᵀ, in the values that both stand for.</summary>
    /// <param name="left">[m, k], contiguous; k a multiple of 16.</param>
    /// <param name="leftInverse">One float32, or one for each row, [m, 1].</param>
    /// <param name="right">[n, k], contiguous; n a multiple of 16.</param>
    /// <param name="rightInverse">One float32, or one for each row, [n, 1]; like those of <paramref name="left"/>.</param>
    /// <param name="dtype">Of the result: float32, bfloat16 or float16.</param>
    /// <param name="bias">[n], added to every row, in any dtype; not for a float32 result.</param>
    /// <param name="fastAccumulation">Fewer bits in the sums, as is usual in forward.</param>
    /// <returns>[m, n], in the current dispose scope.</returns>
    public static Tensor Multiply(
        Tensor left, Tensor leftInverse, Tensor right, Tensor rightInverse, ScalarType dtype, Tensor? bias = null, bool fastAccumulation = false)
    {
        using var scope = NewDisposeScope();
        var columns = right.t();
        // The hardware's row-wise products are bfloat16.
        var rowwise = leftInverse.dim() == 2;
        if (rowwise) rightInverse = rightInverse.t();
        if (rowwise && dtype != ScalarType.BFloat16 && Float8Hardware.Multiplies(left.device))
            return Multiply(left, leftInverse, right, rightInverse.t(), ScalarType.BFloat16, bias, fastAccumulation).to(dtype).MoveToOuterDisposeScope();
        if (Float8Hardware.Multiplies(left.device))
            return _scaledMultiply.CallForTensor(left, columns, leftInverse, rightInverse, bias?.to(dtype), TorchArgument.None, dtype, fastAccumulation).MoveToOuterDisposeScope();
        // Under autocast the product would be one of bfloat16.
        using var exact = Autocast.Enter(left.device.type, ScalarType.BFloat16, enabled: false);
        var product = left.to(ScalarType.Float32).mm(columns.to(ScalarType.Float32)).mul_(leftInverse * rightInverse);
        if (bias is not null) product.add_(bias);
        return product.to(dtype).MoveToOuterDisposeScope();
    }
}
