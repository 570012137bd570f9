using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>Float8 values against the definition of the formats, and scales against the formula.</summary>
public sealed class Float8QuantizerTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    /// <summary>The number that a code stands for, by Micikevicius et al. 2022.</summary>
    private static double Value(int code, Float8Kind kind)
    {
        var (mantissaBits, bias) = kind == Float8Kind.E4M3 ? (3, 7) : (2, 15);
        var sign = (code & 0x80) != 0 ? -1 : 1;
        var exponent = (code & 0x7f) >> mantissaBits;
        var mantissa = code & ((1 << mantissaBits) - 1);
        if (kind == Float8Kind.E4M3 && (code & 0x7f) == 0x7f) return double.NaN;
        if (kind == Float8Kind.E5M2 && exponent == 31) return mantissa == 0 ? sign * double.PositiveInfinity : double.NaN;
        return exponent == 0
            ? sign * mantissa * Math.Pow(2, 1 - bias - mantissaBits)
            : sign * (1 + (mantissa / (double)(1 << mantissaBits))) * Math.Pow(2, exponent - bias);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Each_of_the_256_codes_is_the_number_of_the_definition_and_comes_back(int format)
    {
        var kind = (Float8Kind)format;
        var codes = Float8Kinds.Reinterpret(tensor(Enumerable.Range(0, 256).Select(code => (byte)code).ToArray()), kind.Dtype()).reshape(16, 16);
        var numbers = Float8Quantizer.Dequantize(codes, ones(1));
        Assert.Equal(Enumerable.Range(0, 256).Select(code => (float)Value(code, kind)), numbers.data<float>().ToArray());

        var finite = numbers.where(numbers.isfinite(), zeros_like(numbers));
        using var again = Float8Quantizer.Quantize(finite, kind, new ScaleSource(ones(1), null), plain: true, turned: true);
        Assert.Equal(finite.data<float>().ToArray(), Float8Quantizer.Dequantize(again.Codes!, again.Inverse).data<float>().ToArray());
        Assert.Equal(finite.t().contiguous().data<float>().ToArray(), Float8Quantizer.Dequantize(again.Turned!, again.Inverse).data<float>().ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Numbers_between_two_codes_go_to_the_nearer_one_ties_to_the_even_code_and_the_rest_to_the_largest(int format)
    {
        var kind = (Float8Kind)format;
        var positive = Enumerable.Range(0, kind == Float8Kind.E4M3 ? 127 : 124).ToArray();
        var (inputs, expected) = (new List<float>(), new List<float>());
        foreach (var code in positive.SkipLast(1))
        {
            var (low, high) = (Value(code, kind), Value(code + 1, kind));
            foreach (var share in new[] { 0.25, 0.5, 0.75 })
            {
                inputs.Add((float)(low + (share * (high - low))));
                expected.Add((float)(share < 0.5 || (share == 0.5 && code % 2 == 0) ? low : high));
            }
        }

        inputs.AddRange([kind.Max() * 1.01f, 1e30f, float.PositiveInfinity]);
        expected.AddRange([kind.Max(), kind.Max(), kind.Max()]);
        while (inputs.Count % 16 != 0)
        {
            inputs.Add(0);
            expected.Add(0);
        }

        var matrix = tensor(inputs.Concat(inputs.Select(value => -value)).ToArray()).reshape(-1, 16);
        using var quantized = Float8Quantizer.Quantize(matrix, kind, new ScaleSource(ones(1), null));
        Assert.Equal(expected.Concat(expected.Select(value => -value)), Float8Quantizer.Dequantize(quantized.Codes!, quantized.Inverse).data<float>().ToArray());
        var wrong = full([1, 16], float.NaN);
        using var nothing = Float8Quantizer.Quantize(wrong, kind, new ScaleSource(ones(1), null));
        Assert.True(nothing.Codes!.to(float32).isnan().all().item<bool>());
    }

    [Theory]
    [InlineData(3.5f, 0, 448 / 3.5f)]
    [InlineData(3.5f, 2, 448 / 3.5f / 4)]
    [InlineData(0f, 0, 1f)]
    [InlineData(float.PositiveInfinity, 0, 1f)]
    [InlineData(float.NaN, 0, 1f)]
    [InlineData(1e-38f, 0, float.MaxValue)]
    public void A_scale_brings_the_largest_magnitude_to_the_formats_largest_number(float amax, int margin, float expected) =>
        Assert.Equal(expected, Float8Quantizer.ScaleFor(full([1], amax), Float8Kind.E4M3, MathF.Pow(2, -margin)).item<float>());

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Current_scaling_uses_the_whole_range_and_pads_the_transposed_form(ScalarType dtype)
    {
        manual_seed(3);
        var matrix = randn(21, 32).mul(5).to(dtype);
        var amax = zeros(1);
        using var quantized = Float8Quantizer.Quantize(matrix, Float8Kind.E4M3, new ScaleSource(null, amax), plain: true, turned: true);
        var largest = matrix.abs().max().to(float32).item<float>();
        Assert.Equal(largest, amax.item<float>());
        Assert.Equal(1 / (448 / largest), quantized.Inverse.item<float>(), 1e-9f);
        Assert.Equal(448f, quantized.Codes!.to(float32).abs().max().item<float>());
        Assert.Equal([32L, 32L], quantized.Turned!.shape);
        Assert.Equal(0f, quantized.Turned.narrow(1, 21, 11).to(float32).abs().max().item<float>());
        Assert.True(quantized.Turned.narrow(1, 0, 21).to(float32).equal(quantized.Codes.to(float32).t()).all().item<bool>());
        var back = Float8Quantizer.Dequantize(quantized.Codes, quantized.Inverse);
        // Half a step of a 3-bit mantissa.
        Assert.True((back - matrix.to(float32)).abs().le((matrix.to(float32).abs() / 16) + (largest / 448 / 512)).all().item<bool>());
    }

    [Fact]
    public void Row_wise_scales_keep_small_rows_beside_large_ones()
    {
        manual_seed(5);
        var matrix = randn(21, 32);
        matrix[3].mul_(1e-6);
        matrix[4].mul_(1e6);
        matrix[5].zero_();
        using var rows = Float8Quantizer.QuantizeRows(matrix, Float8Kind.E4M3, plain: true, turned: true);
        Assert.Equal([21L, 1L], rows.Inverse.shape);
        Assert.Equal([32L, 1L], rows.TurnedInverse.shape);
        Assert.Equal([32L, 32L], rows.Turned!.shape);
        var back = Float8Quantizer.Dequantize(rows.Codes!, rows.Inverse);
        Assert.True((back - matrix).abs().le((matrix.abs() / 16) + (matrix.abs().amax([1], keepdim: true) / 448 / 512)).all().item<bool>());
        var right = randn(16, 32);
        using var other = Float8Quantizer.QuantizeRows(right, Float8Kind.E4M3);
        var product = Float8Product.Multiply(rows.Codes!, rows.Inverse, other.Codes!, other.Inverse, ScalarType.Float32);
        var expected = back.to(float64).matmul(Float8Quantizer.Dequantize(other.Codes!, other.Inverse).to(float64).t());
        Assert.True((product.to(float64) - expected).abs().le(expected.abs().amax([1], keepdim: true) * 1e-5).all().item<bool>());
    }

    [Fact]
    public void A_product_is_that_of_the_numbers_that_the_codes_stand_for()
    {
        manual_seed(4);
        using var left = Float8Quantizer.Quantize(randn(24, 64), Float8Kind.E5M2, new ScaleSource(null, null));
        using var right = Float8Quantizer.Quantize(randn(32, 64), Float8Kind.E4M3, new ScaleSource(null, null));
        var bias = randn(32);
        var expected = left.Codes!.to(float64).mul(left.Inverse.to(float64)).matmul(right.Codes!.to(float64).mul(right.Inverse.to(float64)).t()) + bias;
        foreach (var (dtype, tolerance) in new[] { (ScalarType.Float32, 1e-5), (ScalarType.BFloat16, 1.0 / 128) })
        {
            var product = Float8Product.Multiply(left.Codes, left.Inverse, right.Codes, right.Inverse, dtype, bias);
            Assert.Equal(dtype, product.dtype);
            Assert.True((product.to(float64) - expected).abs().le((expected.abs() * tolerance) + tolerance).all().item<bool>());
        }
    }
}
