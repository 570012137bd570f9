using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Models.Internal;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class SwiGluTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Values_and_gradients_are_those_of_the_plain_formula(bool ofGate, bool ofUp)
    {
        var gate = randn(3, 5).requires_grad_(ofGate);
        var up = randn(3, 5).requires_grad_(ofUp);
        var weight = randn(3, 5);
        var expected = nn.functional.silu(gate) * up;
        (expected * weight).sum().backward();
        var (gateGradient, upGradient) = (gate.grad?.clone(), up.grad?.clone());
        gate.grad?.zero_();
        up.grad?.zero_();

        var product = SwiGlu.Apply(gate, up);
        var loss = (product * weight).sum();
        autograd.backward([loss], retain_graph: true);
        autograd.backward([loss]);
        BackwardErrors.Shared.ThrowPending();
        Assert.Equal(0, DecoderTests.Difference(product, expected), 6);
        if (ofGate) Assert.Equal(0, DecoderTests.Difference(gate.grad!, gateGradient! * 2), 6);
        if (ofUp) Assert.Equal(0, DecoderTests.Difference(up.grad!, upGradient! * 2), 6);
    }
}
