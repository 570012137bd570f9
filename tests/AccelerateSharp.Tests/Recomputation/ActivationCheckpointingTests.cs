using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Tests.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Recomputation;

/// <summary>Activation checkpointing on one process: the same gradients to the last bit, and what a call may look like.</summary>
[Collection(ProcessWideCounters.Name)]
public class ActivationCheckpointingTests
{
    private const int Width = 8;

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Gradients_are_bit_exact_with_dropout_and_autocast(bool bf16, bool inside)
    {
        var plain = Train(bf16, static _ => { });
        var checkpointed = Train(bf16, model =>
        {
            Assert.Equal(3, ActivationCheckpointing.Apply(model));
            if (inside) ActivationCheckpointing.Apply(model, static (_, module) => module is Linear);
        });
        Assert.Equal(plain, checkpointed);
    }

    [Fact]
    public void A_function_may_take_and_return_several_tensors_and_other_things()
    {
        using var scope = NewDisposeScope();
        var (a, b, ids) = (rand(3, requires_grad: true), rand(3, requires_grad: true), tensor([2L, 0L, 1L]));
        var (sum, (product, order, note)) = ActivationCheckpointing.Checkpoint(
            static (pair, index, factor) => ((pair.Item1 + pair.Item2) * factor, (pair.Item1 * pair.Item2, index.neg(), "as it is")), (a, b), ids, 3.0);
        Assert.Equal("as it is", note);
        Assert.False(order.requires_grad);
        Assert.Equal([-2L, 0L, -1L], order.data<long>().ToArray());
        (sum.sum() + (product * product).sum()).backward();
        Assert.True(a.grad!.allclose(3 + (2 * a.detach() * b.detach() * b.detach())));
        Assert.True(b.grad!.allclose(3 + (2 * b.detach() * a.detach() * a.detach())));

        // One result alone is used, and one argument is used twice.
        a.grad!.zero_();
        var (used, _) = ActivationCheckpointing.Checkpoint(static (x, y) => (x * y, x + y), a, a);
        used.sum().backward();
        Assert.True(a.grad!.allclose(2 * a.detach()));
    }

    [Fact]
    public void Parameters_are_trained_where_no_input_needs_a_gradient()
    {
        using var scope = NewDisposeScope();
        var embedding = Embedding(5, Width);
        var output = ActivationCheckpointing.Checkpoint(embedding.call, tensor([1L, 3L]));
        Assert.True(output.requires_grad);
        output.sum().backward();
        Assert.Equal(2 * Width, embedding.weight!.grad!.sum().item<float>());
    }

    [Fact]
    public void Without_gradients_the_call_is_a_plain_one()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var calls = 0;
        var nodes = AutogradNode.Live;
        var output = ActivationCheckpointing.Checkpoint(input => { calls++; return input * 2; }, ones(2));
        Assert.False(output.requires_grad);
        Assert.Equal((1, nodes), (calls, AutogradNode.Live));
    }

    [Fact]
    public void Calls_may_contain_calls()
    {
        using var scope = NewDisposeScope();
        var calls = 0;
        var x = rand(4, requires_grad: true);
        var y = ActivationCheckpointing.Checkpoint(outer => ActivationCheckpointing.Checkpoint(inner => { calls++; return inner.exp(); }, outer * 2).sin(), x);
        y.sum().backward();
        // Forward, the outer call's second time, and the inner one's within that.
        Assert.Equal(3, calls);
        var twice = (2 * x.detach()).exp();
        Assert.True(x.grad!.allclose(twice.cos() * twice * 2));
    }

    [Fact]
    public void An_exception_in_forward_leaves_gradients_on()
    {
        using var scope = NewDisposeScope();
        var message = Assert.Throws<InvalidOperationException>(() => ActivationCheckpointing.Checkpoint<Tensor, Tensor>(static _ => throw new InvalidOperationException("too warm"), ones(2))).Message;
        Assert.Equal("too warm", message);
        Assert.True(is_grad_enabled());

        using var model = new Stack(dropout: 0);
        ActivationCheckpointing.Apply(model);
        Assert.ThrowsAny<Exception>(() => model.call(ones(2, Width + 1)));
        Assert.True(is_grad_enabled());
        model.call(ones(2, Width)).sum().backward();
        Assert.All(model.parameters(), static parameter => Assert.NotNull(parameter.grad));
    }

    [Fact]
    public void An_exception_in_backward_keeps_its_type_and_message()
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: true);
        var calls = 0;
        var x = rand(2, requires_grad: true);
        Func<Tensor, Tensor> once = input => ++calls == 1 ? input * 2 : throw new NotSupportedException("only once");
        var loss = ActivationCheckpointing.Checkpoint(once, x).sum();
        Assert.Equal("only once", Assert.Throws<NotSupportedException>(() => accelerator.Backward(loss)).Message);

        // A plain backward cannot throw; the next call does.
        calls = 0;
        ActivationCheckpointing.Checkpoint(once, x).sum().backward();
        Assert.Equal("only once", Assert.Throws<NotSupportedException>(() => ActivationCheckpointing.Checkpoint(static input => input, x)).Message);
        accelerator.Backward(ActivationCheckpointing.Checkpoint(static input => input * 3, x).sum());
    }

    [Fact]
    public void A_second_backward_needs_retain_graph()
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: true);
        var x = rand(2, requires_grad: true);
        var loss = ActivationCheckpointing.Checkpoint(static input => input.exp(), x).sum();
        loss.backward(retain_graph: true);
        loss.backward();
        Assert.True(x.grad!.allclose(2 * x.detach().exp()));
        Assert.Contains("retain_graph", Assert.Throws<InvalidOperationException>(() => accelerator.Backward(loss)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_hundred_steps_and_as_many_forwards_without_backward_leave_nothing()
    {
        using var model = new Stack(dropout: 0.1);
        ActivationCheckpointing.Apply(model);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Steps(5);
        var before = (Tensor.TotalCount, AutogradNode.Live);
        Steps(200);
        Assert.Equal(before, (Tensor.TotalCount, AutogradNode.Live));

        void Steps(int count)
        {
            for (var step = 0; step < count; step++)
            {
                using var scope = NewDisposeScope();
                model.call(ones(2, Width));
                ActivationCheckpointing.Checkpoint(model.call, ones(2, Width)).sum().backward();
                model.call(ones(2, Width)).sum().backward();
            }
        }
    }

    [Fact]
    public void A_choice_of_no_module_is_an_error()
    {
        using var model = new Stack(dropout: 0);
        Assert.Contains("no module", Assert.Throws<ArgumentException>(() => ActivationCheckpointing.Apply(model, static (_, _) => false)).Message, StringComparison.Ordinal);
        using var single = Linear(2, 2);
        Assert.Contains("Activation checkpointing", Assert.Throws<ArgumentException>(() => ActivationCheckpointing.Apply(single)).Message, StringComparison.Ordinal);
    }

    /// <summary>Losses and gradients of three steps.</summary>
    private static List<float> Train(bool bf16, Action<Stack> change)
    {
        Accelerator.SetSeed(5);
        using var model = new Stack(dropout: 0.3);
        change(model);
        change(model);
        var numbers = new List<float>();
        for (var step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            model.zero_grad();
            Tensor output;
            using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16, bf16)) output = model.call(randn(4, Width));
            var loss = output.to(ScalarType.Float32).pow(2).mean();
            loss.backward();
            numbers.Add(loss.item<float>());
            foreach (var parameter in model.parameters()) numbers.AddRange(parameter.grad!.reshape(-1).data<float>().ToArray());
        }

        return numbers;
    }

    private sealed class Block : Module<Tensor, Tensor>
    {
        private readonly Linear _up = Linear(Width, 2 * Width);
        private readonly Dropout _dropout;
        private readonly Linear _down = Linear(2 * Width, Width);

        public Block(double dropout)
            : base(nameof(Block))
        {
            _dropout = Dropout(dropout);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => input + _down.call(_dropout.call(functional.gelu(_up.call(input))));
    }

    private sealed class Stack : Module<Tensor, Tensor>
    {
        private readonly ModuleList<Block> _blocks;
        private readonly Linear _head = Linear(Width, 1);

        public Stack(double dropout)
            : base(nameof(Stack))
        {
            _blocks = new ModuleList<Block>(new Block(dropout), new Block(dropout), new Block(dropout));
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            foreach (var block in _blocks) input = block.call(input);
            return _head.call(input);
        }
    }
}
