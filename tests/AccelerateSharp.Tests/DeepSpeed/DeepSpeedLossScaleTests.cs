using AccelerateSharp.Parallel.DeepSpeed;
using AccelerateSharp.Precision;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>DeepSpeed's rule for the loss scale, step by step.</summary>
public sealed class DeepSpeedLossScaleTests
{
    // x: an overflow. The numbers are those of DeepSpeed's own scaler.
    [Theory]
    [InlineData(3, 2, false, "xxx....x.x", "16 8 4 4 4 4 8 8 8 4")]
    [InlineData(100, 2, true, "x.x.xx", "16 16 16 16 16 8")]
    [InlineData(2, 1, false, ".......", "16 16 32 32 64 64 128")]
    public void The_scale_follows_the_rule(int window, int hysteresis, bool consecutive, string steps, string expected)
    {
        var settings = new LossScaleSettings(0, 4, window, hysteresis, consecutive, 1);
        var (rule, scale) = (new DeepSpeedLossScale(settings), settings.Initial);
        Assert.Equal(expected, string.Join(' ', steps.Select(step => scale = rule.Next(scale, step == 'x'))));
    }

    [Fact]
    public void The_scale_ends_at_a_minimum_and_a_static_one_never_changes()
    {
        var rule = new DeepSpeedLossScale(new LossScaleSettings(0, 1, 100, 1, false, 1));
        Assert.Equal(1, rule.Next(2, overflowed: true));
        Assert.Contains("min_loss_scale", Assert.Throws<OverflowException>(() => rule.Next(1, overflowed: true)).Message, StringComparison.Ordinal);
        var constant = new DeepSpeedLossScale(new LossScaleSettings(128, 16, 1, 1, false, 1));
        Assert.Equal(128, constant.Next(128, overflowed: true));
        Assert.Equal(128, constant.Next(128, overflowed: false));
    }
}
