using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

public sealed class TensorStorageTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void Views_share_address_and_size_of_their_storage()
    {
        var flat = zeros(10, float32);
        var view = flat.narrow(0, 4, 2);
        Assert.Equal(40, TensorStorage.ByteCount(view));
        Assert.Equal(TensorStorage.Address(flat), TensorStorage.Address(view));
        Assert.NotEqual(0, TensorStorage.Address(flat));
        Assert.NotEqual(TensorStorage.Address(flat), TensorStorage.Address(zeros(10)));
    }

    [Fact]
    public void Memory_that_was_freed_and_refilled_between_forward_and_backward_gives_bit_equal_gradients()
    {
        random.manual_seed(11);
        var values = randn(6 * 4 + 6);
        var input = randn(3, 4);
        var expected = Gradients(freeBetween: false);
        var actual = Gradients(freeBetween: true);
        Assert.Equal(expected, actual);

        float[] Gradients(bool freeBetween)
        {
            // As a sharded unit does it: one flat buffer, the parameters are views, autograd saves the views.
            var flat = values.clone();
            var control = TensorStorage.ControlOf(flat);
            Tensor? weightGradient = null, biasGradient = null;
            var (leafOfWeight, leafOfBias) = (nn.Parameter(zeros(6, 4)), nn.Parameter(zeros(6)));
            var weight = flat.narrow(0, 0, 24).view(6, 4).detach();
            var bias = flat.narrow(0, 24, 6).detach();
            AutogradNode.Attach([leafOfWeight, leafOfBias], [weight, bias], gradients =>
                (weightGradient, biasGradient) = (gradients[0]!.DetachFromDisposeScope(), gradients[1]!.DetachFromDisposeScope()));
            var x = input.clone().requires_grad_();
            var loss = nn.functional.linear(nn.functional.linear(x, weight, bias).tanh().matmul(weight), weight, bias).pow(2).sum();
            if (freeBetween)
            {
                TensorStorage.Free(control);
                Assert.InRange(TensorStorage.ByteCount(flat), 0, 8);
                TensorStorage.Allocate(control, values.numel());
                Assert.Equal(values.numel() * 4, TensorStorage.ByteCount(weight));
                using (no_grad()) control.copy_(values);
                Assert.Equal(TensorStorage.Address(control), TensorStorage.Address(weight));
            }
            loss.backward();
            BackwardErrors.Shared.ThrowPending();
            return [loss.item<float>(), .. weightGradient!.data<float>(), .. biasGradient!.data<float>(), .. x.grad!.data<float>()];
        }
    }

    [Fact]
    public void Freeing_and_refilling_many_times_keeps_the_shape_and_takes_new_values()
    {
        var flat = arange(100, float32);
        var control = TensorStorage.ControlOf(flat);
        for (var round = 0; round < 50; round++)
        {
            TensorStorage.Free(control);
            TensorStorage.Allocate(control, 100);
            control.fill_(round);
            Assert.Equal([100L], flat.shape);
            Assert.Equal(round * 100f, flat.sum().item<float>());
        }
    }

    [Fact]
    public void The_data_of_a_native_modules_leaf_can_be_emptied_and_refilled()
    {
        random.manual_seed(5);
        var lstm = nn.LSTM(3, 4);
        var input = randn(5, 2, 3);
        var expected = Train(lstm, input, () => { });
        var weights = lstm.parameters().ToArray();
        var kept = weights.Select(weight => weight.detach().clone()).ToArray();
        foreach (var weight in weights) TensorStorage.SetData(weight, empty(0));
        Assert.All(weights, weight => Assert.Equal(0, weight.numel()));
        var actual = Train(lstm, input, () =>
        {
            for (var i = 0; i < weights.Length; i++) TensorStorage.SetData(weights[i], kept[i]);
        });
        Assert.Equal(expected, actual);

        static float[] Train(TorchSharp.Modules.LSTM lstm, Tensor input, Action refill)
        {
            refill();
            lstm.zero_grad();
            lstm.call(input).Item1.pow(2).sum().backward();
            return [.. lstm.parameters().SelectMany(parameter => parameter.grad!.data<float>().ToArray())];
        }
    }
}
