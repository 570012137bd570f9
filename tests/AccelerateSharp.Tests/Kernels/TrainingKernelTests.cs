using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace AccelerateSharp.Tests.Kernels;

/// <summary>Our kernels compute what libtorch's operators compute in float64; on a GPU. Elsewhere callers are told to go libtorch's way.</summary>
public sealed class TrainingKernelTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void Without_a_gpu_there_are_none()
    {
        var x = randn(2, 16);
        Assert.Null(TrainingKernels.For(x));
        Assert.Null(GatedKernel.TryMultiply(x, x));
        Assert.Null(RmsNormKernel.TryApply(x, ones(16), 1e-5, float32));
        Assert.Null(RotaryKernel.TryApply(randn(1, 4, 2, 16), ones(4, 1, 16), ones(4, 1, 16)));
        Assert.False(CrossEntropyKernel.TryRun(x, zeros(2, 1, int64), ones(2, 1), 0, zeros(2), null));
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1e-4)]
    [InlineData(ScalarType.BFloat16, 2e-2)]
    [InlineData(ScalarType.Float16, 4e-3)]
    public void Gated_products(ScalarType dtype, double tolerance)
    {
        NeedsGpu();
        var (gate, up, gradient) = (Leaf(dtype, 33, 64), Leaf(dtype, 33, 64), Leaf(dtype, 33, 64));
        var (exactGate, exactUp) = (Exact(gate), Exact(up));
        var expected = F.silu(exactGate) * exactUp;
        expected.backward([gradient.to(float64)]);
        Close(expected, GatedKernel.TryMultiply(gate, up)!, tolerance);
        var (ofGate, ofUp) = GatedKernel.TryDifferentiate(gradient, gate, up)!.Value;
        Close(exactGate.grad!, ofGate, tolerance);
        Close(exactUp.grad!, ofUp, tolerance);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1e-4, false)]
    [InlineData(ScalarType.BFloat16, 2e-2, false)]
    [InlineData(ScalarType.BFloat16, 2e-2, true)]
    public void Rotary_positions(ScalarType dtype, double tolerance, bool positions)
    {
        NeedsGpu();
        var heads = Leaf(dtype, 2, 5, 3, 64);
        var angles = rand(positions ? [2, 5, 1, 32] : [5, 1, 32], device: CUDA) * 6;
        var (cos, sin) = (cat([angles.cos(), angles.cos()], -1), cat([-angles.sin(), angles.sin()], -1));
        var exact = Exact(heads);
        var expected = (exact * cos) + (exact.roll(32, -1) * sin);
        var actual = RotaryKernel.TryApply(heads, cos, sin)!;
        Compare(expected, actual, tolerance, (exact, heads));
        // Heads as attention hands them over are no contiguous tensor.
        Close((exact.narrow(1, 0, 4) * cos.narrow(-3, 0, 4)) + (exact.narrow(1, 0, 4).roll(32, -1) * sin.narrow(-3, 0, 4)), RotaryKernel.TryApply(heads.narrow(1, 0, 4), cos.narrow(-3, 0, 4), sin.narrow(-3, 0, 4))!, tolerance);
    }

    [Theory]
    [InlineData(ScalarType.Float32, ScalarType.Float32, ScalarType.Float32, 2048, 1e-4)]
    [InlineData(ScalarType.Float32, ScalarType.Float32, ScalarType.BFloat16, 768, 2e-2)]
    [InlineData(ScalarType.BFloat16, ScalarType.BFloat16, ScalarType.BFloat16, 4096, 2e-2)]
    [InlineData(ScalarType.Float16, ScalarType.Float32, ScalarType.Float16, 128, 4e-3)]
    public void Root_mean_square_norms(ScalarType input, ScalarType weights, ScalarType output, int width, double tolerance)
    {
        NeedsGpu();
        var (x, weight) = (Leaf(input, 7, 100, width), Leaf(weights, width));
        var (exactX, exactWeight) = (Exact(x), Exact(weight));
        var expected = exactX * (exactX.pow(2).mean([-1], keepdim: true) + 1e-5).rsqrt() * exactWeight;
        var actual = RmsNormKernel.TryApply(x, weight, 1e-5, output)!;
        Assert.Equal(output, actual.dtype);
        Compare(expected, actual, tolerance, (exactX, x), (exactWeight, weight));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void Cross_entropy(double smoothing)
    {
        NeedsGpu();
        var (logits, targets) = (randn(9, 50257, device: CUDA) * 4, randint(0, 50257, [9], dtype: int64, device: CUDA));
        var weights = rand(9, 1, device: CUDA);
        var exact = Exact(logits);
        var expected = F.cross_entropy(exact, targets, reduction: nn.Reduction.None, label_smoothing: smoothing);
        (expected * weights.squeeze(1)).sum().backward();
        var (losses, gradient) = (empty(9, device: CUDA), empty_like(logits));
        Assert.True(CrossEntropyKernel.TryRun(logits, targets.unsqueeze(1), weights, smoothing, losses, gradient));
        Close(expected, losses, 1e-5);
        Close(exact.grad!, gradient, 1e-6);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1e-4)]
    [InlineData(ScalarType.BFloat16, 1e-2)]
    public void Eight_bit_adam_steps(ScalarType dtype, double tolerance)
    {
        NeedsGpu();
        // The last block is not full.
        var start = randn(70, 99).to(dtype);
        var (onHost, onDevice) = (nn.Parameter(start.clone()), nn.Parameter(start.to(CUDA)));
        using var reference = new AdamW8bit([onHost], 1e-2, weight_decay: 0.1);
        using var optimizer = new AdamW8bit([onDevice], 1e-2, weight_decay: 0.1);
        for (var step = 0; step < 5; step++)
        {
            onHost.grad = randn_like(onHost);
            onDevice.grad = onHost.grad.to(CUDA);
            reference.step();
            optimizer.step();
        }

        Close(onHost.detach().to(float64), onDevice.detach().cpu(), tolerance);
        // A number between two values may have gone to the other one.
        var differences = (reference.StateOf(onHost)["exp_avg"].to(int32) - optimizer.StateOf(onDevice)["exp_avg"].cpu().to(int32)).abs();
        Assert.InRange(differences.max().item<int>(), 0, 1);
    }

    private static void NeedsGpu() => Assert.SkipUnless(cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");

    private static Tensor Leaf(ScalarType dtype, params long[] shape) => randn(shape, device: CUDA).to(dtype).requires_grad_();

    private static Tensor Exact(Tensor tensor) => tensor.detach().to(float64).requires_grad_();

    /// <summary>Value and gradients, for a random gradient of the result.</summary>
    private static void Compare(Tensor expected, Tensor actual, double tolerance, params (Tensor Exact, Tensor Narrow)[] leaves)
    {
        Close(expected, actual, tolerance);
        var gradient = randn_like(actual);
        expected.backward([gradient.to(float64)]);
        actual.backward([gradient]);
        BackwardErrors.Shared.ThrowPending();
        foreach (var (exact, narrow) in leaves) Close(exact.grad!, narrow.grad!, tolerance);
    }

    private static void Close(Tensor expected, Tensor actual, double tolerance)
    {
        Assert.Equal(expected.shape, actual.shape);
        var error = ((expected - actual.to(float64)).abs().max() / expected.abs().max().clamp_min(1)).item<double>();
        Assert.InRange(error, 0, tolerance);
    }
}
