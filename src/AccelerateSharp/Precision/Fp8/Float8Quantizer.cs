using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Where a tensor's scale comes from.</summary>
/// <param name="Scale">Float32, one element: the scale of before (delayed scaling). Null: the tensor's own largest magnitude decides (current scaling).</param>
/// <param name="Amax">Float32, one element: raised to the tensor's largest magnitude; null: not noted.</param>
/// <param name="Margin">Factor on a scale that is computed here: 2 to the power of minus the recipe's margin.</param>
internal readonly record struct ScaleSource(Tensor? Scale, Tensor? Amax, float Margin = 1);

/// <summary>Turns a matrix into float8, and its transpose, which the backward products need because the hardware multiplies rows by rows only.</summary>
internal static class Float8Quantizer
{
    /// <summary>Lines of the transposed form are filled up to this many elements, as the hardware wants them.</summary>
    public const long Alignment = 16;

    /// <param name="matrix">[rows, columns] in float32, bfloat16 or float16, contiguous; columns a multiple of 16.</param>
    /// <param name="kind">The format.</param>
    /// <param name="source">Where the scale comes from.</param>
    /// <param name="plain">Make <see cref="QuantizedMatrix.Codes"/>.</param>
    /// <param name="turned">Make <see cref="QuantizedMatrix.Turned"/>.</param>
    public static QuantizedMatrix Quantize(Tensor matrix, Float8Kind kind, ScaleSource source, bool plain = true, bool turned = false) =>
        Float8Hardware.Kernels(matrix.device) is { } kernels && matrix.numel() > 0 && matrix.shape[0] < 65535 * 128L
            ? WithKernel(kernels, matrix, kind, source, plain, turned)
            : WithOperators(matrix, kind, source, plain, turned);

    /// <summary>The same with a scale for each row of the matrix, and of the transposed form, from their own largest magnitudes.</summary>
    public static QuantizedMatrix QuantizeRows(Tensor matrix, Float8Kind kind, bool plain = true, bool turned = false)
    {
        using var scope = NewDisposeScope();
        var exact = matrix.to(ScalarType.Float32);
        var (codes, inverse) = plain ? Rows(exact, kind) : (null, null);
        var (turnedCodes, turnedInverse) = (default(Tensor), default(Tensor));
        if (turned)
        {
            var padding = Padded(matrix.shape[0]) - matrix.shape[0];
            (turnedCodes, turnedInverse) = Rows((padding == 0 ? exact : nn.functional.pad(exact, [0, 0, 0, padding])).t().contiguous(), kind);
        }

        inverse ??= turnedInverse!.alias();
        foreach (var tensor in new[] { codes, turnedCodes, inverse, turnedInverse }) tensor?.DetachFromDisposeScope();
        return new QuantizedMatrix(codes, turnedCodes, inverse, turnedInverse);
    }

    /// <summary>The scale that brings <paramref name="amax"/> to the format's largest number; 1 where there is none.</summary>
    public static Tensor ScaleFor(Tensor amax, Float8Kind kind, float margin)
    {
        using Scalar largest = kind.Max(), factor = margin, limit = float.MaxValue;
        var scale = full_like(amax, largest).div_(amax).mul_(factor).clamp_max_(limit);
        return scale.where(amax.gt(0).logical_and(amax.isfinite()), ones_like(amax));
    }

    /// <summary>Back to a matrix of numbers.</summary>
    public static Tensor Dequantize(Tensor codes, Tensor inverse, ScalarType dtype = ScalarType.Float32)
    {
        using var scope = NewDisposeScope();
        return codes.to(ScalarType.Float32).mul_(inverse).to(dtype).MoveToOuterDisposeScope();
    }

    public static long Padded(long rows) => (rows + Alignment - 1) / Alignment * Alignment;

    private static QuantizedMatrix WithKernel(CudaKernels kernels, Tensor matrix, Float8Kind kind, ScaleSource source, bool plain, bool turned)
    {
        var (rows, columns, padded) = (matrix.shape[0], matrix.shape[1], Padded(matrix.shape[0]));
        var index = Float8Hardware.Index(matrix.device);
        var type = matrix.dtype switch { ScalarType.Float32 => "f32", ScalarType.BFloat16 => "bf16", _ => "f16" };
        var result = new QuantizedMatrix(
            plain ? Empty([rows, columns], kind.Dtype(), matrix.device) : null,
            turned ? Empty([columns, padded], kind.Dtype(), matrix.device) : null,
            Empty([1], ScalarType.Float32, matrix.device));
        using var ownAmax = source is { Scale: null, Amax: null } ? zeros(1, dtype: ScalarType.Float32, device: matrix.device) : null;
        var amax = source.Amax ?? ownAmax;
        if (source.Scale is null) kernels.Get($"amax_{type}", index).Launch(Math.Clamp(matrix.numel() / 8 / 256, 1, 2048), 256, [matrix, amax, matrix.numel()]);
        kernels.Get($"quantize_{type}_{(kind == Float8Kind.E4M3 ? "e4m3" : "e5m2")}", index).Launch(
            ((columns + 63) / 64, (rows + 127) / 128), 256,
            [matrix, result.Codes, result.Turned, source.Scale, amax, result.Inverse, rows, columns, padded, source.Margin, source.Scale is null ? 1 : 0]);
        return result;
    }

    private static QuantizedMatrix WithOperators(Tensor matrix, Float8Kind kind, ScaleSource source, bool plain, bool turned)
    {
        using var scope = NewDisposeScope();
        var exact = matrix.to(ScalarType.Float32);
        if (source is { Scale: null } or { Amax: not null })
        {
            var own = matrix.numel() == 0 ? zeros(1, device: matrix.device) : exact.abs().amax([0, 1]).reshape(1);
            if (source.Amax is { } noted) own = noted.copy_(noted.maximum(own));
            if (source.Scale is null) source = source with { Scale = ScaleFor(own, kind, source.Margin) };
        }

        using Scalar lowest = -kind.Max(), largest = kind.Max();
        var codes = exact.mul(source.Scale!).clamp_(lowest, largest).to(kind.Dtype());
        var result = new QuantizedMatrix(plain ? codes : null, turned ? Turn(codes) : null, source.Scale!.reciprocal());
        result.Codes?.DetachFromDisposeScope();
        result.Turned?.DetachFromDisposeScope();
        result.Inverse.DetachFromDisposeScope();
        return result;
    }

    private static (Tensor? Codes, Tensor? Inverse) Rows(Tensor exact, Float8Kind kind)
    {
        using Scalar lowest = -kind.Max(), largest = kind.Max();
        var scale = ScaleFor(exact.abs().amax([1], keepdim: true), kind, 1);
        return (exact.mul(scale).clamp_(lowest, largest).to(kind.Dtype()), scale.reciprocal());
    }

    private static Tensor Turn(Tensor codes)
    {
        var (rows, padded) = (codes.shape[0], Padded(codes.shape[0]));
        if (rows == padded) return codes.t().contiguous();
        var turned = zeros([codes.shape[1], padded], dtype: codes.dtype, device: codes.device);
        turned.narrow(1, 0, rows).copy_(codes.t());
        return turned;
    }

    private static Tensor Empty(long[] shape, ScalarType dtype, Device device) => empty(shape, dtype: dtype, device: device).DetachFromDisposeScope();
}
