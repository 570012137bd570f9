using AccelerateSharp.Launch;
using AccelerateSharp.Precision;
using TorchSharp;

namespace AccelerateSharp.Tests.Precision;

public sealed class PrecisionChoiceTests
{
    [Theory]
    [InlineData(null, null, MixedPrecision.No)]
    [InlineData(null, "no", MixedPrecision.No)]
    [InlineData(null, "bf16", MixedPrecision.BF16)]
    [InlineData(null, "FP16", MixedPrecision.FP16)]
    [InlineData(null, "fp8", MixedPrecision.FP8)]
    [InlineData(MixedPrecision.No, "bf16", MixedPrecision.No)]
    [InlineData(MixedPrecision.FP16, "nonsense", MixedPrecision.FP16)]
    public void The_program_wins_over_the_environment(MixedPrecision? program, string? environment, MixedPrecision expected) =>
        Assert.Equal(expected, PrecisionChoice.Of(program, new EnvironmentReader(_ => environment)));

    [Fact]
    public void An_unknown_precision_is_an_error_that_names_the_choice()
    {
        var error = Assert.Throws<ArgumentException>(() => PrecisionChoice.Of(null, new EnvironmentReader(_ => "half")));
        Assert.Contains("'half'; it must be no, bf16, fp16 or fp8", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => PrecisionChoice.Of((MixedPrecision)9, new EnvironmentReader(_ => null)));
    }

    [Fact]
    public void A_device_that_cannot_do_it_says_what_it_can()
    {
        var cuda = new torch.Device(DeviceType.CUDA, 1);
        PrecisionSupport.Check(MixedPrecision.BF16, torch.CPU, 0, () => throw new InvalidOperationException());
        PrecisionSupport.Check(MixedPrecision.FP16, cuda, 0, () => new Version(7, 0));
        PrecisionSupport.Check(MixedPrecision.BF16, cuda, 0, () => new Version(8, 0));
        var old = Assert.Throws<NotSupportedException>(() => PrecisionSupport.Check(MixedPrecision.BF16, cuda, 3, () => new Version(7, 5)));
        Assert.Contains("Rank 3: cuda:1 has compute capability 7.5", old.Message, StringComparison.Ordinal);
        Assert.Contains("FP16", old.Message, StringComparison.Ordinal);
        Assert.Throws<NotSupportedException>(() => PrecisionSupport.Check(MixedPrecision.BF16, new torch.Device(DeviceType.MPS), 0, () => new Version(9, 0)));
    }
}
