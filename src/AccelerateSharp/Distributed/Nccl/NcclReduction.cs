using static TorchSharp.torch;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>How NCCL is asked to reduce one dtype: it knows fewer types than libtorch.</summary>
/// <param name="Type">What NCCL takes the elements for.</param>
/// <param name="Operation">What it does with them.</param>
/// <param name="Numbers">How many of its numbers make one element: 2 for a complex value, reduced as its real and imaginary part.</param>
/// <param name="ComputeIn">The dtype that the tensor is converted to, and back from, where NCCL has none for it; null as a rule.</param>
internal readonly record struct NcclReduction(NcclDataType Type, NcclReduceOperation Operation, int Numbers, ScalarType? ComputeIn)
{
    private const ScalarType Float8E5M2 = (ScalarType)23;
    private const ScalarType Float8E4M3 = (ScalarType)24;

    /// <exception cref="NotSupportedException">The reduction is not defined for the dtype, or libtorch has no such dtype on a GPU.</exception>
    internal static NcclReduction For(ScalarType dtype, ReduceOp operation) => dtype switch
    {
        ScalarType.Bool => new(NcclDataType.UInt8, Logical(operation), 1, null),
        ScalarType.ComplexFloat32 => new(NcclDataType.Float32, Linear(dtype, operation), 2, null),
        ScalarType.ComplexFloat64 => new(NcclDataType.Float64, Linear(dtype, operation), 2, null),
        // Sums of 16-bit integers wrap as they would in their own width: the low 16 bits of a 32-bit sum are the same.
        ScalarType.Int16 => new(NcclDataType.Int32, Arithmetic(operation), 1, ScalarType.Int32),
        // NCCL adds float8 in float8 and only on newer GPUs; in float32 it is right on all of them, and rounds once.
        Float8E4M3 or Float8E5M2 => new(NcclDataType.Float32, Arithmetic(operation), 1, ScalarType.Float32),
        _ => new(Direct(dtype), Arithmetic(operation), 1, null),
    };

    private static NcclDataType Direct(ScalarType dtype) => dtype switch
    {
        ScalarType.Byte => NcclDataType.UInt8,
        ScalarType.Int8 => NcclDataType.Int8,
        ScalarType.Int32 => NcclDataType.Int32,
        ScalarType.Int64 => NcclDataType.Int64,
        ScalarType.Float16 => NcclDataType.Float16,
        ScalarType.BFloat16 => NcclDataType.BFloat16,
        ScalarType.Float32 => NcclDataType.Float32,
        ScalarType.Float64 => NcclDataType.Float64,
        _ => throw new NotSupportedException($"NCCL cannot reduce tensors of dtype {dtype}: convert them first, for instance to Float32."),
    };

    private static NcclReduceOperation Arithmetic(ReduceOp operation) => operation switch
    {
        ReduceOp.Sum => NcclReduceOperation.Sum,
        ReduceOp.Avg => NcclReduceOperation.Average,
        ReduceOp.Min => NcclReduceOperation.Min,
        ReduceOp.Max => NcclReduceOperation.Max,
        ReduceOp.Product => NcclReduceOperation.Product,
        _ => throw new NotSupportedException($"NCCL has no reduction {operation}."),
    };

    /// <summary>On bytes that are 0 or 1 the largest is "or" and the smallest is "and"; a sum would leave 2 in a bool.</summary>
    private static NcclReduceOperation Logical(ReduceOp operation) => operation switch
    {
        ReduceOp.Sum or ReduceOp.Max => NcclReduceOperation.Max,
        ReduceOp.Product or ReduceOp.Min => NcclReduceOperation.Min,
        _ => throw new NotSupportedException($"{operation} is not defined for bool tensors: convert them first, for instance to Float32."),
    };

    private static NcclReduceOperation Linear(ScalarType dtype, ReduceOp operation) => operation switch
    {
        ReduceOp.Sum => NcclReduceOperation.Sum,
        ReduceOp.Avg => NcclReduceOperation.Average,
        _ => throw new NotSupportedException($"{operation} is not defined for {dtype} tensors: only sum and average are."),
    };
}
