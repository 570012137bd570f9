using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>Tensors that every rank can compute for every other: what a collective must give is known without one.</summary>
internal static class Values
{
    public const ScalarType Float8E5M2 = (ScalarType)23;
    public const ScalarType Float8E4M3 = (ScalarType)24;

    public static readonly ScalarType[] Reducible =
    [
        ScalarType.Bool, ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64, ScalarType.Float16,
        ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64, ScalarType.ComplexFloat32, ScalarType.ComplexFloat64,
    ];

    public static readonly ScalarType[] Movable = [.. Reducible, Float8E5M2, Float8E4M3];

    public static readonly long[] Sizes = [0, 1, 10_007, 1_000_000];

    public static readonly long[] SmallSizes = [0, 1, 1_009];

    public static bool IsFloat(ScalarType dtype) => dtype is ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float32 or ScalarType.Float64;

    public static bool IsComplex(ScalarType dtype) => dtype is ScalarType.ComplexFloat32 or ScalarType.ComplexFloat64;

    /// <summary>A rank's tensor. Small whole numbers: sums over a few ranks are exact in every dtype, and products of 1 and 2 are too.</summary>
    public static Tensor Of(int rank, long size, ScalarType dtype, Device device, bool ofOnesAndTwos = false)
    {
        using var scope = NewDisposeScope();
        var index = arange(size, ScalarType.Int64, device);
        var numbers = ofOnesAndTwos ? (index + rank) % 2 + 1 : index % 5 + rank;
        if (dtype == ScalarType.Bool) numbers = (index + rank) % 3 == 0;
        var values = IsComplex(dtype) ? complex(Parts(numbers, dtype), Parts(index % 3 - rank, dtype)) : numbers.to(dtype);
        return values.MoveToOuterDisposeScope();
    }

    /// <summary>What a reduction over these ranks' tensors must give, in the dtype that the tensors have.</summary>
    public static Tensor Reduced(IEnumerable<int> ranks, long size, ScalarType dtype, Device device, ReduceOp operation)
    {
        using var scope = NewDisposeScope();
        var wide = IsComplex(dtype) ? ScalarType.ComplexFloat64 : ScalarType.Float64;
        var all = ranks.Select(rank => Of(rank, size, dtype, device, operation == ReduceOp.Product).to(wide)).ToArray();
        var result = all[0].clone();
        foreach (var next in all.Skip(1))
        {
            result = operation switch
            {
                ReduceOp.Min => minimum(result, next),
                ReduceOp.Max => maximum(result, next),
                ReduceOp.Product => result * next,
                _ => result + next,
            };
        }

        if (operation == ReduceOp.Avg) result /= all.Length;
        return result.to(dtype).MoveToOuterDisposeScope();
    }

    /// <summary>Equal, but for the last bit or two of a mean.</summary>
    public static bool Same(Tensor actual, Tensor expected, bool exact = true)
    {
        using var scope = NewDisposeScope();
        if (actual.dtype != expected.dtype || !actual.shape.SequenceEqual(expected.shape)) return false;
        if (actual.numel() == 0) return true;
        var wide = IsComplex(actual.dtype) ? ScalarType.ComplexFloat64 : ScalarType.Float64;
        var (left, right) = (actual.to(wide), expected.to(wide));
        if (exact) return left.eq(right).all().item<bool>();
        var tolerance = actual.dtype switch { ScalarType.BFloat16 => 1e-2, ScalarType.Float16 => 2e-3, ScalarType.Float64 or ScalarType.ComplexFloat64 => 1e-12, _ => 1e-6 };
        return (left - right).abs().le(right.abs() * tolerance + tolerance).all().item<bool>();
    }

    private static Tensor Parts(Tensor numbers, ScalarType dtype) => numbers.to(dtype == ScalarType.ComplexFloat32 ? ScalarType.Float32 : ScalarType.Float64);
}
