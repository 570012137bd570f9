using AccelerateSharp.Parallel;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Parallel;

/// <summary>Clipping over lists: PyTorch's formula, whatever the gradients are made of.</summary>
public sealed class GradientClippingTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(double.PositiveInfinity)]
    public void The_norm_is_that_of_all_elements_and_the_gradients_are_scaled_to_the_limit(double p)
    {
        manual_seed(1);
        Parameter[] parameters =
        [
            Trained(randn(3, 4)), Trained(randn(5)), Trained(randn(2, 2, 2).to(bfloat16)), Trained(randn(7).to(float64)), Trained(empty(0)),
            nn.Parameter(randn(3)), Trained(randn([])),
        ];
        var all = Elements(parameters);
        var expected = double.IsPositiveInfinity(p) ? all.Max(Math.Abs) : Math.Pow(all.Sum(value => Math.Pow(Math.Abs(value), p)), 1 / p);

        var norm = GradientClipping.ByNorm(parameters, 0.5, p, CPU, _ => null);

        Assert.Equal(0, norm.dim());
        Assert.Equal(expected, norm.item<float>(), 1e-4 * expected);
        var coefficient = 0.5 / (expected + 1e-6);
        Assert.All(all.Zip(Elements(parameters)), pair => Assert.Equal(pair.First * coefficient, pair.Second, 1e-2 * Math.Abs(pair.First * coefficient) + 1e-7));
        Assert.Null(parameters[5].grad);
    }

    [Fact]
    public void Below_the_limit_nothing_changes_and_a_shared_parameter_counts_once()
    {
        var parameter = Trained(full(4, 2f));
        using var norm = GradientClipping.ByNorm([parameter, parameter], 4.1, 2, CPU, _ => null);
        Assert.Equal(4f, norm.item<float>());
        Assert.Equal([2f, 2f, 2f, 2f], parameter.grad!.data<float>().ToArray());
    }

    [Fact]
    public void Without_gradients_the_norm_is_zero()
    {
        Assert.Equal(0f, GradientClipping.ByNorm([nn.Parameter(ones(2))], 1, 2, CPU, _ => null).item<float>());
        Assert.Equal(0f, GradientClipping.ByNorm([], 1, 2, CPU, _ => null).item<float>());
    }

    private static Parameter Trained(Tensor gradient)
    {
        var parameter = nn.Parameter(zeros_like(gradient));
        parameter.grad = gradient;
        return parameter;
    }

    private static double[] Elements(IEnumerable<Parameter> parameters) =>
        [.. parameters.Select(parameter => parameter.grad).OfType<Tensor>().SelectMany(gradient => gradient.to(float64).reshape(-1).data<double>().ToArray())];
}
