using AccelerateSharp.Distributed.Nccl;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Distributed.Nccl;

public class NcclReductionTests
{
    [Theory]
    [InlineData(ScalarType.Byte, 1)]
    [InlineData(ScalarType.Int8, 0)]
    [InlineData(ScalarType.Int32, 2)]
    [InlineData(ScalarType.Int64, 4)]
    [InlineData(ScalarType.Float16, 6)]
    [InlineData(ScalarType.Float32, 7)]
    [InlineData(ScalarType.Float64, 8)]
    [InlineData(ScalarType.BFloat16, 9)]
    public void A_dtype_that_nccl_has_goes_through_as_it_is(ScalarType dtype, int type) =>
        Assert.Equal(new NcclReduction((NcclDataType)type, NcclReduceOperation.Sum, 1, null), NcclReduction.For(dtype, ReduceOp.Sum));

    [Theory]
    [InlineData(ScalarType.Int16, 2, ScalarType.Int32)]
    [InlineData((ScalarType)23, 7, ScalarType.Float32)]
    [InlineData((ScalarType)24, 7, ScalarType.Float32)]
    public void A_dtype_that_nccl_lacks_is_reduced_in_a_wider_one(ScalarType dtype, int type, ScalarType computeIn) =>
        Assert.Equal(new NcclReduction((NcclDataType)type, NcclReduceOperation.Max, 1, computeIn), NcclReduction.For(dtype, ReduceOp.Max));

    [Theory]
    [InlineData(ReduceOp.Sum, 2)]
    [InlineData(ReduceOp.Max, 2)]
    [InlineData(ReduceOp.Product, 3)]
    [InlineData(ReduceOp.Min, 3)]
    public void Bools_stay_bools(ReduceOp operation, int expected) =>
        Assert.Equal(new NcclReduction(NcclDataType.UInt8, (NcclReduceOperation)expected, 1, null), NcclReduction.For(ScalarType.Bool, operation));

    [Theory]
    [InlineData(ScalarType.ComplexFloat32, 7)]
    [InlineData(ScalarType.ComplexFloat64, 8)]
    public void Complex_sums_are_sums_of_their_parts(ScalarType dtype, int type) =>
        Assert.Equal(new NcclReduction((NcclDataType)type, NcclReduceOperation.Average, 2, null), NcclReduction.For(dtype, ReduceOp.Avg));

    [Theory]
    [InlineData(ScalarType.Bool, ReduceOp.Avg)]
    [InlineData(ScalarType.ComplexFloat32, ReduceOp.Product)]
    [InlineData(ScalarType.ComplexFloat64, ReduceOp.Max)]
    [InlineData(ScalarType.QInt8, ReduceOp.Sum)]
    public void What_is_not_defined_is_refused_by_name(ScalarType dtype, ReduceOp operation) =>
        Assert.Contains(dtype == ScalarType.Bool ? "bool" : dtype.ToString(), Assert.Throws<NotSupportedException>(() => NcclReduction.For(dtype, operation)).Message, StringComparison.Ordinal);
}
