using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision;

/// <summary>The report says what is there, on one process; DistributedTests has the rows of several.</summary>
[Collection("process state")]
public sealed class PrecisionReportTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(MixedPrecision.No, "fp32")]
    [InlineData(MixedPrecision.BF16, "bf16")]
    [InlineData(MixedPrecision.FP16, "fp16")]
    public void Mixed_precision_changes_what_is_computed_with_and_nothing_that_is_stored(MixedPrecision precision, string compute)
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: precision, gradScaler: precision == MixedPrecision.FP16 ? new() { InitScale = 1 } : null);
        var module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1));
        var (model, optimizer) = accelerator.Prepare(module, new FusedAdamW(module.parameters(), 1e-2));
        Assert.Null(Assert.Single(accelerator.PrecisionReport(model).Rows).OptimizerStates);
        accelerator.Backward(model.call(randn(3, 4)).sum());
        optimizer.step();

        var row = Assert.Single(accelerator.PrecisionReport(model).Rows);

        Assert.Equal(new PrecisionReportRow(49, "fp32", compute, "fp32", null, "fp32 + fp32"), row);
        accelerator.UnwrapModel(model, keepFp32Wrapper: false);
        Assert.Equal("fp32", Assert.Single(accelerator.PrecisionReport(model).Rows).Compute);
        accelerator.FreeMemory();
    }

    [Fact]
    public void Kinds_of_parameters_have_rows_of_their_own_and_the_text_is_a_table()
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.BF16);
        var frozen = nn.Linear(2, 2);
        foreach (var parameter in frozen.parameters()) parameter.requires_grad = false;
        var model = nn.Sequential(frozen, nn.Linear(2, 1000, dtype: bfloat16), nn.Linear(3, 1, dtype: float64));
        using var optimizer = optim.SGD(model.parameters(), 1e-2);
        _ = accelerator.Prepare(model, optimizer);

        var report = accelerator.PrecisionReport(model);

        Assert.Equal(
            """
            Sequential: mixed precision bf16, one process
            parameters  weight  compute  gradient  reduction  optimizer states
            6           fp32    bf16     -         -          -
            3,000       bf16    bf16     bf16      -          -
            4           fp64    fp64     fp64      -          -
            """,
            report.ToString());
        Assert.Throws<ArgumentException>(() => accelerator.PrecisionReport(nn.Linear(1, 1)));
        accelerator.FreeMemory();
    }
}
