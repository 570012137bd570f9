using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary><c>silu(gate) * up</c> and its gradients, one kernel each.</summary>
internal static class GatedKernel
{
    private const int Threads = 256;

    /// <summary>The product; null where there is no kernel for these tensors.</summary>
    public static Tensor? TryMultiply(Tensor gate, Tensor up)
    {
        if (Find(gate, up) is not { } kernels) return null;
        var product = empty_like(gate);
        kernels.Get($"gated_{TrainingKernels.NameOf(gate.dtype)}", TrainingKernels.Index(gate)).Launch(Blocks(gate), Threads, [gate, up, product, gate.numel()]);
        return product;
    }

    /// <summary>The gradients of gate and up; null where there is no kernel for these tensors.</summary>
    public static (Tensor Gate, Tensor Up)? TryDifferentiate(Tensor gradient, Tensor gate, Tensor up)
    {
        if (Find(gate, up) is not { } kernels || gradient.dtype != gate.dtype) return null;
        using var whole = gradient.contiguous();
        var (ofGate, ofUp) = (empty_like(gate), empty_like(up));
        kernels.Get($"gated_backward_{TrainingKernels.NameOf(gate.dtype)}", TrainingKernels.Index(gate))
            .Launch(Blocks(gate), Threads, [whole, gate, up, ofGate, ofUp, gate.numel()]);
        return (ofGate, ofUp);
    }

    private static CudaKernels? Find(Tensor gate, Tensor up) =>
        gate.dtype == up.dtype && TrainingKernels.NameOf(gate.dtype) is not null && gate.numel() == up.numel() && gate.numel() % 8 == 0
        && gate.is_contiguous() && up.is_contiguous() && TrainingKernels.For(gate) is { } kernels && TrainingKernels.IsAligned(gate) && TrainingKernels.IsAligned(up)
            ? kernels
            : null;

    private static long Blocks(Tensor tensor) => ((tensor.numel() / 8) + Threads - 1) / Threads;
}
