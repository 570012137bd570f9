using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>The two 8-bit floating-point formats of Micikevicius et al., "FP8 Formats for Deep Learning", 2022.</summary>
internal enum Float8Kind
{
    /// <summary>4 bits of exponent, 3 of mantissa, up to 448; no infinities: for values that need precision.</summary>
    E4M3,

    /// <summary>5 bits of exponent, 2 of mantissa, up to 57,344: for gradients, which need range.</summary>
    E5M2,
}

internal static class Float8Kinds
{
    private static readonly TorchOperator _reinterpret = TorchOperator.Get("aten::view.dtype(Tensor self, ScalarType dtype) -> Tensor");

    // TorchSharp's enumeration ends before them; libtorch takes its own numbers.
    public const ScalarType E4M3 = (ScalarType)24;
    public const ScalarType E5M2 = (ScalarType)23;

    public static ScalarType Dtype(this Float8Kind kind) => kind == Float8Kind.E4M3 ? E4M3 : E5M2;

    /// <summary>The largest number of the format.</summary>
    public static float Max(this Float8Kind kind) => kind == Float8Kind.E4M3 ? 448 : 57344;

    /// <summary>The same memory as numbers of another dtype of the same size.</summary>
    public static Tensor Reinterpret(Tensor tensor, ScalarType dtype) => _reinterpret.CallForTensor(tensor, dtype);
}
