using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>Delayed scaling against a model of it in plain C#.</summary>
public sealed class DelayedScalingTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(1, false, 0, 1)]
    [InlineData(4, false, 0, 1)]
    [InlineData(4, true, 0, 1)]
    [InlineData(3, true, 2, 1)]
    [InlineData(4, true, 0, 3)]
    [InlineData(4, false, 1, 2)]
    public void Scales_follow_the_history(int length, bool useMax, int margin, int interval)
    {
        float[] largest = [448, 57344];
        // Zero and what is not finite tell nothing; large and small ones come and go.
        float[][] steps = [[1, 10], [7, 2], [0.5f, float.PositiveInfinity], [0, 3], [float.NaN, 1e-3f], [2, 5], [0.25f, 0.25f], [0.125f, 8], [3, 0], [1e-40f, 1]];
        using var scaling = new DelayedScaling([Float8Kind.E4M3, Float8Kind.E5M2], length, useMax, margin, interval, CPU);
        var history = new List<float[]>();
        float[] scales = [1, 1];
        for (var step = 0; step < steps.Length; step++)
        {
            for (var slot = 0; slot < 2; slot++)
            {
                var source = scaling.SourceOf(slot, note: true);
                Assert.Equal(step == 0, source.Scale is null);
                // Two micro-batches: the larger one counts.
                source.Amax!.copy_(source.Amax.maximum(full([1], steps[step][slot] / 2)));
                source.Amax.copy_(source.Amax.maximum(full([1], steps[step][slot])));
            }

            scaling.Advance(null);
            history.Add(Array.ConvertAll(steps[step], amax => float.IsFinite(amax) ? amax : 0));
            if (step % interval == 0)
            {
                for (var slot = 0; slot < 2; slot++)
                {
                    var amax = useMax ? history.TakeLast(length).Max(row => row[slot]) : history[^1][slot];
                    if (amax > 0) scales[slot] = Math.Min(largest[slot] / amax * MathF.Pow(2, -margin), float.MaxValue);
                }
            }

            Assert.Equal(scales, scaling.Scales.data<float>().ToArray());
            Assert.Equal([0f, 0f], scaling.Amaxes.data<float>().ToArray());
        }
    }

    [Fact]
    public void A_tensor_that_was_never_noted_is_scaled_by_itself()
    {
        using var scaling = new DelayedScaling([Float8Kind.E4M3, Float8Kind.E4M3], 4, useMax: false, margin: 0, interval: 1, CPU);
        scaling.SourceOf(0, note: true).Amax!.fill_(2);
        scaling.Advance(null);
        Assert.Equal(224f, scaling.SourceOf(0, note: false).Scale!.item<float>());
        Assert.Null(scaling.SourceOf(1, note: false).Scale);
        Assert.Null(scaling.SourceOf(1, note: false).Amax);
    }
}
