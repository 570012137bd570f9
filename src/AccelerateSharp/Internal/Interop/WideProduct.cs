using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Matrix products of half-precision factors whose result is float32: the sums are kept as the hardware makes them.</summary>
/// <remarks>On CUDA one kernel writes float32, or adds to it; elsewhere the half-precision product is converted.</remarks>
internal static class WideProduct
{
    private static readonly TorchOperator _multiply = TorchOperator.Get("aten::mm.dtype(Tensor self, Tensor mat2, ScalarType out_dtype) -> Tensor");

    /// <summary>The operator takes plain numbers (alpha, beta), which the stable C interface cannot carry. 6 is float32.</summary>
    private static readonly Lazy<jit.CompilationUnit> _script = new(static () => jit.compile("""
        def accumulate(total: Tensor, a: Tensor, b: Tensor):
            torch.addmm(total, a, b, 6, out=total)


        """));

    /// <summary>The product of two matrices in <paramref name="dtype"/>: float32, or the dtype of the factors.</summary>
    internal static Tensor Multiply(Tensor a, Tensor b, ScalarType dtype)
    {
        if (a.dtype == dtype) return a.mm(b);
        if (a.device_type == DeviceType.CUDA) return _multiply.CallForTensor(a, b, dtype);
        using var narrow = a.mm(b);
        return narrow.to(dtype);
    }

    /// <summary>Adds the product of two matrices to <paramref name="total"/>, which is float32 or of the factors' dtype.</summary>
    internal static void Accumulate(Tensor total, Tensor a, Tensor b)
    {
        if (a.dtype == total.dtype)
        {
            total.addmm_(a, b);
        }
        else if (a.device_type == DeviceType.CUDA)
        {
            _script.Value.invoke("accumulate", [total, a, b]);
        }
        else
        {
            using var narrow = a.mm(b);
            total.add_(narrow);
        }
    }
}
