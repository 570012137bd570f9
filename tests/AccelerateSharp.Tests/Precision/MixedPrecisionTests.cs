using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision;

/// <summary>The forward of a prepared model, and nothing else, is under autocast.</summary>
[Collection("process state")]
public sealed class MixedPrecisionTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Accelerator _accelerator = new(cpu: true, mixedPrecision: MixedPrecision.BF16);

    public void Dispose()
    {
        _accelerator.EndTraining();
        _scope.Dispose();
    }

    private static bool IsOn => Autocast.IsEnabled(DeviceType.CPU);

    [Theory]
    [InlineData(MixedPrecision.BF16, ScalarType.BFloat16)]
    [InlineData(MixedPrecision.FP16, ScalarType.Float16)]
    [InlineData(MixedPrecision.No, ScalarType.Float32)]
    public void The_forward_computes_in_the_precision_and_answers_in_float32(MixedPrecision precision, ScalarType inside)
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: precision);
        Assert.Equal(precision, accelerator.MixedPrecision);
        Assert.Equal(precision, accelerator.State.MixedPrecision);
        ScalarType? seen = null;
        var model = accelerator.Prepare(new Wrapped((self, x) =>
        {
            var y = self.Layer.call(x);
            seen = y.dtype;
            return y;
        }));
        var output = model.call(randn(2, 4));
        Assert.Equal(inside, seen);
        Assert.Equal(float32, output.dtype);
        Assert.False(IsOn);
        Assert.Equal(float32, model.Layer.call(randn(2, 4)).dtype);
        output.sum().backward();
        Assert.Equal(float32, model.Layer.weight!.dtype);
        Assert.Equal(float32, model.Layer.weight.grad!.dtype);
        using (no_grad()) Assert.Equal(float32, model.call(randn(2, 4)).dtype);
        accelerator.FreeMemory();
        _ = model.call(randn(2, 4));
        Assert.Equal(float32, seen);
    }

    [Fact]
    public void Gradients_are_those_of_the_same_forward_written_by_hand()
    {
        var model = _accelerator.Prepare(new Wrapped((self, x) => self.Layer.call(x).tanh()));
        var x = randn(2, 4);
        _accelerator.Backward(model.call(x).pow(2).sum());
        var gradient = model.Layer.weight!.grad!.clone();
        model.Layer.weight.grad = null;
        var hidden = x.to(bfloat16).matmul(model.Layer.weight.to(bfloat16).t());
        hidden.tanh().to(float32).pow(2).sum().backward();
        Assert.True(gradient.equal(model.Layer.weight.grad!).all().item<bool>());
    }

    [Fact]
    public void Weights_keep_their_dtype_whatever_it_is()
    {
        using var narrow = nn.Linear(4, 4, dtype: bfloat16);
        var weight = narrow.weight;
        var model = _accelerator.Prepare(narrow);
        Assert.Equal(float32, model.call(randn(2, 4)).dtype);
        Assert.Same(weight, model.weight);
        Assert.Equal(bfloat16, model.weight!.dtype);
    }

    [Fact]
    public void Every_tensor_of_an_output_is_converted_wherever_it_is()
    {
        var x = randn(2, 4);
        Check(h => (h, 3), output => output.Item1);
        Check(h => Tuple.Create(h, "text"), output => output.Item1);
        Check(h => new Answer(h, "text"), output => output.Logits);
        Check(h => new Output { Logits = h, Hidden = [h.relu()] }, output => output.Hidden[0]);
        Check(h => new List<Tensor> { h.relu(), h }, output => output[1]);
        Check(h => new Dictionary<string, Tensor> { ["logits"] = h }, output => output["logits"]);
        Check(h => new[] { h }, output => output[0]);

        void Check<T>(Func<Tensor, T> answer, Func<T, Tensor> tensor)
        {
            using var made = new Answering<T>(answer);
            var model = _accelerator.Prepare(made);
            var output = tensor(model.call(x));
            Assert.Equal(float32, output.dtype);
            output.sum().backward();
            Assert.NotNull(model.Weight.grad);
            using (no_grad()) Assert.Equal(float32, tensor(model.call(x)).dtype);
        }
    }

    [Fact]
    public void What_the_model_did_not_compute_stays_as_it_is()
    {
        var half = randn(2, 4).to(bfloat16);
        var @double = randn(2, 4).to(float64);
        var flags = ones(2, dtype: ScalarType.Bool);
        var weight = nn.Parameter(randn(2, dtype: bfloat16));
        var model = _accelerator.Prepare(new Answering<(Tensor, Tensor, Tensor, Tensor, Tensor)>(h => (h, half, @double, flags, weight)));
        var (_, first, second, third, fourth) = model.call(randn(2, 4));
        Assert.Equal((float32, float64, ScalarType.Bool, float32), (first.dtype, second.dtype, third.dtype, fourth.dtype));
        Assert.Equal((bfloat16, bfloat16), (half.dtype, weight.dtype));
        Assert.Same(@double, second);
    }

    [Fact]
    public void Models_of_other_signatures_and_value_types_work()
    {
        var model = _accelerator.Prepare(new Scaled());
        var (scaled, input) = model.call(randn(2, 4), 2);
        Assert.Equal((float32, float32), (scaled.dtype, input.dtype));
        Assert.False(IsOn);
    }

    [Fact]
    public void Hooks_of_the_user_run_inside_before_ours_and_outside_after()
    {
        var seen = new List<(ScalarType, bool)>();
        using var made = nn.Linear(4, 4);
        made.register_forward_hook((_, _, y) => Note(y));
        var model = _accelerator.Prepare(made);
        model.register_forward_hook((_, _, y) => Note(y));
        _ = model.call(randn(2, 4));
        Assert.Equal([(bfloat16, true), (float32, false)], seen);

        Tensor Note(Tensor y)
        {
            seen.Add((y.dtype, IsOn));
            return y;
        }
    }

    [Fact]
    public void Islands_switch_it_off_inside_and_scopes_switch_it_on_outside()
    {
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            using (_accelerator.Autocast(enabled: false)) Assert.Equal(float32, self.Layer.call(x).dtype);
            return self.Layer.call(x);
        }));
        Assert.Equal(float32, model.call(randn(2, 4)).dtype);
        using (var scope = _accelerator.Autocast())
        {
            Assert.Equal(bfloat16, ones(2, 2).matmul(ones(2, 2)).dtype);
            _ = model.call(randn(2, 4));
            Assert.Equal(bfloat16, ones(2, 2).matmul(ones(2, 2)).dtype);
            scope.Dispose();
            Assert.False(IsOn);
        }

        Assert.False(IsOn);
    }

    [Fact]
    public void A_scope_that_ends_on_another_thread_is_an_error()
    {
        var scope = _accelerator.Autocast();
        var thread = new Thread(() => Assert.Throws<InvalidOperationException>(scope.Dispose));
        thread.Start();
        thread.Join();
        Assert.True(IsOn);
        scope.Dispose();
        Assert.False(IsOn);
    }

    [Fact]
    public void Without_mixed_precision_a_scope_does_nothing()
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.No);
        using (accelerator.Autocast()) Assert.Equal(float32, ones(2, 2).matmul(ones(2, 2)).dtype);
    }

    [Fact]
    public void Settings_of_autocast_reach_it()
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.BF16, autocast: new() { CacheEnabled = false });
        var cached = true;
        var model = accelerator.Prepare(new Wrapped((self, x) =>
        {
            cached = Autocast.IsCacheEnabled;
            return self.Layer.call(x);
        }));
        _ = model.call(randn(2, 4));
        Assert.False(cached);
        Assert.True(Autocast.IsCacheEnabled);
        accelerator.FreeMemory();
    }

    [Fact]
    public void An_unwrapped_model_answers_in_what_it_computed()
    {
        using var narrow = nn.Linear(4, 4, dtype: bfloat16);
        var model = _accelerator.Prepare(narrow);
        Assert.Same(model, _accelerator.UnwrapModel(model));
        Assert.Equal(float32, model.call(randn(2, 4)).dtype);
        Assert.Same(model, _accelerator.UnwrapModel(model, keepFp32Wrapper: false));
        Assert.Equal(bfloat16, model.call(randn(2, 4, dtype: bfloat16)).dtype);
    }

    [Fact]
    public void The_state_of_a_forward_can_be_put_into_force_again()
    {
        AutocastState state = default;
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            state = AutocastState.Capture();
            return self.Layer.call(x);
        }));
        _ = model.call(randn(2, 4));
        using (state.Enter()) Assert.Equal(bfloat16, ones(2, 2).matmul(ones(2, 2)).dtype);
        Assert.False(IsOn);
        var off = AutocastState.Capture();
        using (_accelerator.Autocast())
        {
            using (off.Enter()) Assert.Equal(float32, ones(2, 2).matmul(ones(2, 2)).dtype);
            Assert.True(IsOn);
        }
    }
}
