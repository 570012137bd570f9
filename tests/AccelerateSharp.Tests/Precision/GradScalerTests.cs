using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision;

/// <summary>PyTorch's algorithm, on the scaler alone.</summary>
[Collection("process state")]
public sealed class GradScalerTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void The_scale_grows_after_an_interval_without_and_shrinks_with_an_overflow()
    {
        using var scaler = new GradScaler(new() { InitScale = 1024, GrowthFactor = 4, BackoffFactor = 0.25, GrowthInterval = 2 }, CPU);
        var (fine, overflow) = (tensor(0f), tensor(1f));
        scaler.Update(fine);
        Assert.Equal(1024, scaler.Scale);
        scaler.Update(fine);
        Assert.Equal(4096, scaler.Scale);
        scaler.Update(fine);
        scaler.Update(overflow);
        Assert.Equal(1024, scaler.Scale);
        scaler.Update(fine);
        Assert.Equal(1024, scaler.Scale);
        Assert.Equal(1, scaler.StateDict().GrowthTracker);
    }

    [Fact]
    public void Gradients_of_any_dtype_are_unscaled_in_place_and_brought_back()
    {
        using var scaler = new GradScaler(new() { InitScale = 8 }, CPU);
        var (a, b) = (full(3, 8f), full([2, 2], 16, dtype: bfloat16));
        Assert.Equal(0, scaler.Unscale([a, b]).item<float>());
        Assert.Equal((1f, 2f), (a.max().item<float>(), b.to(float32).min().item<float>()));
        scaler.Rescale([a, b]);
        Assert.Equal((8f, 16f), (a.max().item<float>(), b.to(float32).min().item<float>()));
        Assert.Equal(16f, scaler.ScaleLoss(tensor(2f)).item<float>());
        Assert.Equal(0, scaler.Unscale([]).item<float>());
    }

    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(float.NaN)]
    public void One_bad_element_is_found(float bad)
    {
        using var scaler = new GradScaler(new(), CPU);
        Assert.True(scaler.Unscale([ones(3), tensor([1f, bad])]).item<float>() > 0);
    }

    [Fact]
    public void Its_state_travels()
    {
        using var scaler = new GradScaler(new() { InitScale = 1024, GrowthFactor = 3, BackoffFactor = 0.125, GrowthInterval = 7 }, CPU);
        scaler.Update(tensor(0f));
        using var other = new GradScaler(new(), CPU);
        Assert.Equal(65536, other.Scale);
        other.LoadStateDict(scaler.StateDict());
        var state = other.StateDict();
        Assert.Equal((1024, 3, 0.125, 7, 1), (state.Scale, state.GrowthFactor, state.BackoffFactor, state.GrowthInterval, state.GrowthTracker));
    }

    [Fact]
    public void Impossible_settings_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(new() { InitScale = 0 }, CPU));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(new() { GrowthFactor = 1 }, CPU));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(new() { BackoffFactor = 1 }, CPU));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(new() { GrowthInterval = 0 }, CPU));
    }
}
