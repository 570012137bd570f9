using AccelerateSharp.Optimizers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Optimizers;

/// <summary>Every optimizer against the formulas in double precision, and against TorchSharp's own where there is one.</summary>
public sealed class OptimizerNumbersTests : IDisposable
{
    private const int Steps = 12;
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(true, 0, false, false, false)]
    [InlineData(true, 0.1, false, false, true)]
    [InlineData(true, 0.1, true, true, false)]
    [InlineData(false, 0, false, false, false)]
    [InlineData(false, 0.1, false, true, false)]
    [InlineData(false, 0.1, true, false, true)]
    public void Adam(bool decoupled, double decay, bool amsgrad, bool maximize, bool capturable)
    {
        var one = new OptimizerCase();
        var twins = one.Twins();
        using OptimizerHelper fused = decoupled
            ? new FusedAdamW(one.Parameters, 0.05, 0.8, 0.95, 1e-6, decay, amsgrad, maximize, capturable)
            : new FusedAdam(one.Parameters, 0.05, 0.8, 0.95, 1e-6, decay, amsgrad, maximize, capturable);
        using OptimizerHelper plain = decoupled
            ? optim.AdamW(twins, 0.05, 0.8, 0.95, 1e-6, decay, amsgrad, maximize)
            : optim.Adam(twins, 0.05, 0.8, 0.95, 1e-6, decay, amsgrad, maximize);
        for (var step = 0; step < Steps; step++)
        {
            // Each parameter counts its own steps.
            var gradients = one.NextGradients(step is 3 or 4 ? [1] : []);
            foreach (var (twin, parameter) in twins.Zip(one.Parameters)) twin.grad = parameter.grad?.clone();
            fused.step();
            plain.step();
            for (var i = 0; i < gradients.Length; i++)
                if (gradients[i] is { } gradient) Formulas.Adam(one.Expected[i], gradient, decoupled, 0.05, 0.8, 0.95, 1e-6, decay, amsgrad, maximize);
            foreach (var (twin, parameter) in twins.Zip(one.Parameters)) Assert.True(twin.allclose(parameter, 1e-5, 1e-6));
        }

        one.Check(2e-6);
    }

    [Theory]
    [InlineData(0, 0, 0, false, false)]
    [InlineData(0.9, 0, 0.1, false, false)]
    [InlineData(0.9, 0, 0, true, true)]
    [InlineData(0.9, 0.3, 0.1, false, false)]
    public void Sgd(double momentum, double dampening, double decay, bool nesterov, bool maximize)
    {
        var one = new OptimizerCase();
        var twins = one.Twins();
        using var fused = new FusedSGD(one.Parameters, 0.05, momentum, dampening, decay, nesterov, maximize, capturable: nesterov);
        using var plain = optim.SGD(twins, 0.05, momentum, dampening, decay, nesterov, maximize);
        for (var step = 0; step < Steps; step++)
        {
            var gradients = one.NextGradients(step is 0 or 4 ? [1] : []);
            foreach (var (twin, parameter) in twins.Zip(one.Parameters)) twin.grad = parameter.grad?.clone();
            fused.step();
            plain.step();
            for (var i = 0; i < gradients.Length; i++)
                if (gradients[i] is { } gradient) Formulas.Sgd(one.Expected[i], gradient, 0.05, momentum, dampening, decay, nesterov, maximize);
            foreach (var (twin, parameter) in twins.Zip(one.Parameters)) Assert.True(twin.allclose(parameter, 1e-5, 1e-6));
        }

        one.Check(2e-6);
    }

    [Fact]
    public void Sgd_that_maximizes_still_decays_the_weights()
    {
        var one = new OptimizerCase();
        using var fused = new FusedSGD(one.Parameters, 0.05, weight_decay: 0.1, maximize: true);
        Run(fused, one, (weights, gradient) => Formulas.Sgd(weights, gradient, 0.05, decay: 0.1, maximize: true));
        one.Check(2e-6);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void Lion(double decay)
    {
        var one = new OptimizerCase();
        using var lion = new Lion(one.Parameters, 0.01, 0.8, 0.95, decay);
        Run(lion, one, (weights, gradient) => Formulas.Lion(weights, gradient, 0.01, 0.8, 0.95, decay));
        one.Check(2e-6);
    }

    [Theory]
    [InlineData(0, 0.2)]
    [InlineData(0.1, 0.01)]
    public void Adafactor(double decay, double lr)
    {
        var one = new OptimizerCase();
        using var adafactor = new Adafactor(one.Parameters, lr, -0.8, 1e-6, 1e-3, 1, decay);
        Run(adafactor, one, (weights, gradient) => Formulas.Adafactor(weights, gradient, lr, -0.8, 1e-6, 1e-3, 1, decay));
        one.Check(5e-6);
        Assert.Equal([7, 1], adafactor.StateOf(one.Parameters[0])["row_var"].shape);
        Assert.Equal([1, 5], adafactor.StateOf(one.Parameters[0])["col_var"].shape);
    }

    [Theory]
    [InlineData(null, ScalarType.BFloat16)]
    [InlineData(ScalarType.Float32, ScalarType.Float32)]
    public void Half_precision_weights_keep_states_of_either_precision(ScalarType? wanted, ScalarType expected)
    {
        var one = new OptimizerCase(ScalarType.BFloat16);
        using var fused = new FusedAdamW(one.Parameters, 0.01, stateDtype: wanted);
        Run(fused, one, (weights, gradient) => Formulas.Adam(weights, gradient, true, 0.01, 0.9, 0.999, 1e-8, 0));
        one.Check(0.03);
        foreach (var parameter in one.Parameters)
        {
            Assert.Equal(ScalarType.BFloat16, parameter.dtype);
            Assert.Equal(expected, fused.StateOf(parameter)["exp_avg"].dtype);
        }
    }

    [Fact]
    public void Float32_states_of_half_precision_weights_are_as_exact_as_those_of_float32_weights()
    {
        var one = new OptimizerCase(ScalarType.BFloat16);
        var copies = one.Parameters.ConvertAll(parameter => nn.Parameter(parameter.detach().to(ScalarType.Float32)));
        using var fused = new FusedAdamW(one.Parameters, 0.01, stateDtype: ScalarType.Float32);
        using var exact = new FusedAdamW(copies, 0.01);
        one.NextGradients();
        foreach (var (copy, parameter) in copies.Zip(one.Parameters)) copy.grad = parameter.grad!.to(ScalarType.Float32);
        fused.step();
        exact.step();
        foreach (var (copy, parameter) in copies.Zip(one.Parameters))
        {
            Assert.True(fused.StateOf(parameter)["exp_avg_sq"].equal(exact.StateOf(copy)["exp_avg_sq"]).all().item<bool>());
            Assert.True(copy.detach().to(ScalarType.BFloat16).equal(parameter).all().item<bool>());
        }
    }

    [Fact]
    public void Parameters_that_pass_through_copies_in_pieces_are_updated_throughout()
    {
        var large = nn.Parameter(ones(TensorColumns.PieceElements + 1000, dtype: ScalarType.BFloat16));
        var small = nn.Parameter(ones(3, dtype: ScalarType.BFloat16));
        using var fused = new FusedAdamW([small, large], 0.5, stateDtype: ScalarType.Float32);
        foreach (var parameter in new[] { large, small }) parameter.grad = ones_like(parameter);
        fused.step();
        foreach (var parameter in new[] { large, small }) Assert.True((parameter == 0.5).all().item<bool>());
        Assert.Equal(1, fused.StateOf(large)["step"].item<float>());
    }

    [Fact]
    public void Layouts_that_kernels_do_not_take_are_copied()
    {
        var values = randn(6, 4);
        var transposed = nn.Parameter(values.t());
        var plain = nn.Parameter(values.t().contiguous());
        var sliced = nn.Parameter(randn(6, 8)[.., 2..6]);
        var dense = nn.Parameter(sliced.detach().contiguous());
        foreach (var create in new Func<IEnumerable<Parameter>, FusedOptimizer>[]
        {
            parameters => new FusedAdamW(parameters), parameters => new Lion(parameters), parameters => new Adafactor(parameters), parameters => new AdamW8bit(parameters, minSize: 1),
        })
        {
            using var odd = create([transposed, sliced]);
            using var even = create([plain, dense]);
            for (var step = 0; step < 3; step++)
            {
                plain.grad = randn(4, 6);
                transposed.grad = plain.grad.clone();
                dense.grad = randn(6, 4);
                sliced.grad = dense.grad.clone();
                odd.step();
                even.step();
                Assert.True(transposed.allclose(plain, 1e-6, 1e-7));
                Assert.True(sliced.allclose(dense, 1e-6, 1e-7));
            }
        }
    }

    [Fact]
    public void A_complex_parameter_is_two_real_ones()
    {
        var parameter = nn.Parameter(randn(5, dtype: ScalarType.ComplexFloat32));
        var real = nn.Parameter(view_as_real(parameter.detach()).clone());
        using var fused = new FusedAdamW([parameter]);
        using var twin = new FusedAdamW([real]);
        parameter.grad = randn(5, dtype: ScalarType.ComplexFloat32);
        real.grad = view_as_real(parameter.grad).clone();
        fused.step();
        twin.step();
        Assert.True(view_as_real(parameter.detach()).allclose(real));
    }

    private static void Run(FusedOptimizer optimizer, OptimizerCase one, Action<Formulas.Weights, double[]> formula)
    {
        for (var step = 0; step < Steps; step++)
        {
            var gradients = one.NextGradients(step == 4 ? [1] : []);
            optimizer.step();
            for (var i = 0; i < gradients.Length; i++)
                if (gradients[i] is { } gradient) formula(one.Expected[i], gradient);
        }
    }
}
