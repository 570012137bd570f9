using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>The linear layers of a prepared model compute in float8, forward and backward, and nothing else does.</summary>
[Collection("process state")]
public sealed class Fp8LinearTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Accelerator _accelerator = new(cpu: true, mixedPrecision: MixedPrecision.FP8);

    public Fp8LinearTests() => manual_seed(11);

    public void Dispose()
    {
        _accelerator.EndTraining();
        _scope.Dispose();
    }

    /// <summary>What float8 makes of a tensor that is scaled by itself.</summary>
    private static Tensor Rounded(Tensor tensor, Float8Kind kind = Float8Kind.E4M3)
    {
        using var quantized = Float8Quantizer.Quantize(tensor.detach().reshape(-1, tensor.shape[^1]), kind, new ScaleSource(null, null));
        return Float8Quantizer.Dequantize(quantized.Codes!, quantized.Inverse).reshape(tensor.shape);
    }

    private static void Close(Tensor expected, Tensor actual, double tolerance = 1e-2)
    {
        var scale = expected.abs().max().item<float>();
        Assert.Equal(expected.shape, actual.shape);
        Assert.InRange((expected - actual.to(float32)).abs().max().item<float>(), 0, tolerance * scale);
    }

    [Theory]
    [InlineData(true, 2)]
    [InlineData(true, 3)]
    [InlineData(false, 2)]
    [InlineData(false, 3)]
    public void Output_and_gradients_are_the_products_of_rounded_operands(bool hasBias, int dimensions)
    {
        var made = Linear(32, 48, hasBias);
        var layer = _accelerator.Prepare(made);
        var x = randn(dimensions == 2 ? [10, 32] : [2, 5, 32]).requires_grad_();
        var output = layer.call(x);
        Assert.Equal(float32, output.dtype);
        var (x8, w8) = (Rounded(x), Rounded(layer.weight!));
        Close(functional.linear(x8, w8, layer.bias), output);

        var direction = randn(output.shape);
        _accelerator.Backward((output * direction).sum());
        var g8 = Rounded(direction.to(bfloat16), Float8Kind.E5M2);
        Close(g8.matmul(w8), x.grad!);
        Close(g8.reshape(-1, 48).t().matmul(x8.reshape(-1, 32)), layer.weight!.grad!);
        Assert.Equal(float32, layer.weight.grad!.dtype);
        Assert.Equal(float32, layer.weight.dtype);
        if (hasBias) Close(direction.to(bfloat16).to(float32).reshape(-1, 48).sum([0L]), layer.bias!.grad!);
        // It is float8, and not bfloat16 by another name.
        Assert.True((output.detach() - functional.linear(x, layer.weight, layer.bias)).abs().max().item<float>() > 1e-3);
    }

    [Fact]
    public void Three_layers_share_what_they_read_until_it_is_written_to()
    {
        var made = new Branches();
        var model = _accelerator.Prepare(made);
        var x = randn(16, 32).requires_grad_();
        var outputs = model.call(x);
        Close(functional.linear(Rounded(x), Rounded(made.A.weight!)), outputs[0]);
        Close(functional.linear(Rounded(x), Rounded(made.B.weight!)), outputs[1]);
        // C read the tensor after it was changed in place.
        Close(functional.linear(Rounded(x + 100), Rounded(made.C.weight!)), outputs[2]);
        _accelerator.Backward(outputs[0].sum() + (2 * outputs[1]).sum() + outputs[2].sum());
        var ones8 = ones(16, 16);
        Close(ones8.matmul(Rounded(made.A.weight!)) + (2 * ones8).matmul(Rounded(made.B.weight!)) + ones8.matmul(Rounded(made.C.weight!)), x.grad!);
    }

    [Fact]
    public void Evaluation_and_islands_of_full_precision_and_other_products_are_not_float8()
    {
        var island = false;
        var made = new Wrapped(self => x =>
        {
            if (!island) return self.Layer.call(x);
            using (_accelerator.Autocast(enabled: false)) return self.Layer.call(x);
        });
        var model = _accelerator.Prepare(made);
        var x = randn(8, 32);
        var exact = functional.linear(x, made.Layer.weight!, made.Layer.bias);
        Tensor Error() => (model.call(x).detach() - exact).abs().max();
        var inFloat8 = Error().item<float>();
        model.eval();
        using (no_grad())
        {
            Assert.InRange(Error().item<float>(), 0, inFloat8 / 3);
            model.train();
            Assert.Equal(inFloat8, Error().item<float>());
        }

        island = true;
        Assert.InRange(Error().item<float>(), 0, 1e-6);
        // Called by itself, outside of the model.
        Assert.InRange((made.Layer.call(x) - exact).abs().max().item<float>(), 0, 1e-6);
        var (unwrapped, _) = (_accelerator.UnwrapModel(model, keepFp32Wrapper: false), island = false);
        Assert.InRange((unwrapped.call(x) - exact).abs().max().item<float>(), 0, 1e-6);
    }

    [Fact]
    public void Hooks_of_others_see_the_layers_real_input_and_output()
    {
        var made = Linear(32, 32);
        Tensor? seenInput = null, seenOutput = null;
        made.register_forward_hook((_, input, output) =>
        {
            (seenInput, seenOutput) = (input, output);
            return output;
        });
        var layer = _accelerator.Prepare(made);
        var x = randn(8, 32);
        var output = layer.call(x);
        Assert.Same(x, seenInput);
        Close(output.detach(), seenOutput!.detach(), 1e-6);

        // One behind ours that gives the layer something else: the layer computes that, under autocast, bias included.
        var remover = layer.register_forward_pre_hook((_, input) => input * 2);
        Close(functional.linear(x * 2, made.weight!, made.bias), layer.call(x).detach(), 2e-2);
        remover.remove();
        Assert.False(LinearWindow.IsOpen);
        // And one whose product fails in libtorch: the layer says so, and the next forward is right.
        remover = layer.register_forward_pre_hook((_, input) => input.matmul(ones(5, 5)));
        Assert.ThrowsAny<Exception>(() => layer.call(x));
        remover.remove();
        Close(output.detach(), layer.call(x).detach(), 1e-6);
        Assert.NotNull(layer.bias);
    }

    [Fact]
    public void An_exception_in_the_forward_leaves_nothing_behind()
    {
        var fails = true;
        var made = new Wrapped(self => x => fails ? throw new InvalidOperationException("inside") : self.Layer.call(x));
        made.Layer.register_forward_pre_hook((_, input) => fails ? throw new InvalidOperationException("in a hook") : input);
        var model = _accelerator.Prepare(made);
        Assert.Throws<InvalidOperationException>(() => model.call(randn(8, 32)));
        Assert.Null(Autocast.Recipe);
        Assert.False(LinearWindow.IsOpen);
        fails = false;
        var x = randn(8, 32);
        Close(functional.linear(Rounded(x), Rounded(made.Layer.weight!), made.Layer.bias), model.call(x).detach());
        // An input that does not fit is refused by libtorch itself, in its own words.
        var error = Assert.ThrowsAny<Exception>(() => model.call(randn(8, 31)));
        Assert.Contains("31", error.Message, StringComparison.Ordinal);
        Assert.Null(Autocast.Recipe);
        Assert.NotNull(made.Layer.bias);
    }

    [Fact]
    public void A_second_backward_through_one_forward_is_an_error_that_says_so()
    {
        var model = _accelerator.Prepare(Linear(32, 32));
        var loss = model.call(randn(8, 32)).sum();
        torch.autograd.backward([loss], retain_graph: true);
        var error = Assert.Throws<InvalidOperationException>(() => _accelerator.Backward(loss));
        Assert.Contains("second backward", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_computed_again_in_backward_is_the_same_to_the_last_bit()
    {
        var made = Sequential(Linear(32, 64), GELU(), Linear(64, 32));
        var layers = made.modules().OfType<Linear>().ToList();
        // Made before: other tests draw from the same random numbers meanwhile.
        Tensor[] inputs = [randn(4, 32), randn(4, 32), randn(4, 32)];
        Tensor[] Gradients(bool recompute)
        {
            var body = new Wrapped(_ => x => recompute ? Recomputed(made, x) : made.call(x), made);
            var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.FP8);
            var model = accelerator.Prepare(body);
            foreach (var input in inputs)
            {
                foreach (var layer in layers) layer.weight!.grad = null;
                accelerator.Backward(model.call(input.detach().requires_grad_()).pow(2).sum());
            }

            var gradients = layers.Select(layer => layer.weight!.grad!.clone()).ToArray();
            accelerator.FreeMemory();
            return gradients;
        }

        foreach (var (plain, again) in Gradients(recompute: false).Zip(Gradients(recompute: true)))
            Assert.True(plain.equal(again).all().item<bool>());
    }

    /// <summary>Activation checkpointing in its simplest form.</summary>
    private static Tensor Recomputed(Module<Tensor, Tensor> module, Tensor x)
    {
        var state = AutocastState.Capture();
        var output = WithoutGradients(() => module.call(x));
        var input = x.detach();
        AutogradNode.Attach([x], [output], gradients =>
        {
            var leaf = input.detach().requires_grad_();
            Tensor again;
            using (enable_grad())
            using (state.Enter()) again = module.call(leaf);
            torch.autograd.backward([again], [gradients[0]!]);
            gradients.PassOn(0, leaf.grad!);
        });
        return output;
    }

    private static Tensor WithoutGradients(Func<Tensor> function)
    {
        using (no_grad()) return function().detach();
    }

    /// <summary>Two linear layers of one input and a third after that input was changed in place.</summary>
    private sealed class Branches : Module<Tensor, Tensor[]>
    {
        public Linear A { get; } = Linear(32, 16, hasBias: false);
        public Linear B { get; } = Linear(32, 16, hasBias: false);
        public Linear C { get; } = Linear(32, 16, hasBias: false);

        public Branches() : base(nameof(Branches)) => RegisterComponents();

        public override Tensor[] forward(Tensor input)
        {
            var x = input + 0;
            var (a, b) = (A.call(x), B.call(x));
            x.add_(100);
            return [a, b, C.call(x)];
        }
    }

    private sealed class Wrapped : Module<Tensor, Tensor>
    {
        private readonly Func<Tensor, Tensor> _forward;

        public Linear Layer { get; } = Linear(32, 32);
        public Module? Inner { get; }

        public Wrapped(Func<Wrapped, Func<Tensor, Tensor>> forward, Module? inner = null) : base(nameof(Wrapped))
        {
            Inner = inner;
            _forward = forward(this);
            RegisterComponents();
            if (inner is not null) register_module("inner", inner);
        }

        public override Tensor forward(Tensor input) => _forward(input);
    }
}
