using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary>Losses of rows of logits, and the gradients of the logits, in two readings of them.</summary>
internal static class CrossEntropyKernel
{
    private const int Threads = 512;

    /// <returns>False where there is no kernel for these tensors; nothing was computed.</returns>
    /// <param name="logits">float32 [rows, vocabulary].</param>
    /// <param name="targets">int64 [rows, 1], each a class.</param>
    /// <param name="rowWeights">float32 [rows, 1]: what each row's loss counts in the gradient.</param>
    /// <param name="smoothing">Share of the target's probability that is spread over all classes.</param>
    /// <param name="losses">float32 [rows]; written.</param>
    /// <param name="gradient">[rows, vocabulary]; written. Null: losses only.</param>
    public static bool TryRun(Tensor logits, Tensor targets, Tensor rowWeights, double smoothing, Tensor losses, Tensor? gradient)
    {
        if (logits.dtype != ScalarType.Float32 || TrainingKernels.NameOf(gradient?.dtype ?? ScalarType.Float32) is not { } name) return false;
        if (!logits.is_contiguous() || !targets.is_contiguous() || !rowWeights.is_contiguous() || !losses.is_contiguous()) return false;
        if (TrainingKernels.For(logits) is not { } kernels) return false;
        kernels.Get($"cross_entropy_{name}", TrainingKernels.Index(logits))
            .Launch(logits.shape[0], Threads, [logits, targets, rowWeights, losses, gradient, logits.shape[1], (float)smoothing]);
        return true;
    }
}
