using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Optimizers;

/// <summary>Parameters, the same numbers in double precision, and gradients that both get.</summary>
internal sealed class OptimizerCase
{
    private static readonly long[][] _shapes = [[7, 5], [13], [1], [4, 9]];
    private readonly Random _random = new(5);

    public OptimizerCase(ScalarType dtype = ScalarType.Float32)
    {
        foreach (var shape in _shapes)
        {
            var values = Draw(shape);
            Parameters.Add(nn.Parameter(tensor(values, shape).to(dtype)));
            Expected.Add(new Formulas.Weights(values, shape.Length == 2 ? (int)shape[0] : 0));
        }
    }

    public List<Parameter> Parameters { get; } = [];

    public List<Formulas.Weights> Expected { get; } = [];

    /// <summary>New gradients for all parameters but those in <paramref name="without"/>.</summary>
    /// <returns>The gradients as numbers; null where there is none.</returns>
    public double[]?[] NextGradients(params int[] without)
    {
        var gradients = new double[]?[Parameters.Count];
        for (var i = 0; i < gradients.Length; i++)
        {
            Parameters[i].grad = null;
            if (without.Contains(i)) continue;
            gradients[i] = Draw(Parameters[i].shape);
            Parameters[i].grad = tensor(gradients[i]!, Parameters[i].shape).to(Parameters[i].dtype);
        }

        return gradients;
    }

    /// <summary>The same parameters and gradients for another optimizer.</summary>
    public List<Parameter> Twins() => Parameters.ConvertAll(parameter => nn.Parameter(parameter.detach().clone()));

    public void Check(double tolerance)
    {
        for (var i = 0; i < Parameters.Count; i++) Same(Expected[i].Values, Parameters[i], tolerance);
    }

    public static void Same(double[] expected, Tensor actual, double tolerance)
    {
        var values = actual.detach().to(ScalarType.Float64).reshape(-1).data<double>().ToArray();
        for (var i = 0; i < values.Length; i++) Assert.Equal(expected[i], values[i], tolerance);
    }

    private double[] Draw(long[] shape) => [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (product, size) => product * size)).Select(_ => (_random.NextDouble() * 2) - 1)];
}
