using AccelerateSharp.Optimizers;
using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary>A step of AdamW whose moments are kept in 8 bits, in one pass.</summary>
internal static class EightBitAdamKernel
{
    /// <summary>Enough to fill a GPU; each goes over many blocks of numbers.</summary>
    private const long MaxBlocks = 4096;

    /// <returns>False where there is no kernel for these tensors; nothing was computed.</returns>
    /// <param name="parameter">In one dimension.</param>
    /// <param name="gradient">The same.</param>
    /// <param name="average">Codes and scales of the first moment.</param>
    /// <param name="square">Codes and scales of the second moment.</param>
    /// <param name="settings">The group's options.</param>
    /// <param name="rate">The negative learning rate over the first moment's correction, a float32 scalar on the device.</param>
    /// <param name="root">The root of the second moment's reciprocal correction, likewise.</param>
    public static bool TryStep(
        Tensor parameter, Tensor gradient, (Tensor Codes, Tensor Scales) average, (Tensor Codes, Tensor Scales) square, in AdamSettings settings, Tensor rate, Tensor root)
    {
        if (TrainingKernels.OfOptimizersFor(parameter) is not { } kernels || TrainingKernels.NameOf(parameter.dtype) is not { } name) return false;
        if (gradient.dtype != parameter.dtype || !gradient.is_contiguous() || !parameter.is_contiguous()) return false;
        var (signed, unsigned) = (BlockQuantization.On(parameter.device, signed: true), BlockQuantization.On(parameter.device, signed: false));
        kernels.Get($"adamw8bit_{name}", TrainingKernels.Index(parameter)).Launch(
            Math.Min(BlockQuantization.Blocks(parameter.numel()), MaxBlocks), BlockQuantization.BlockSize,
            [
                parameter, gradient, average.Codes, square.Codes, average.Scales, square.Scales,
                signed.Values, signed.Boundaries, unsigned.Values, unsigned.Boundaries, rate, root, parameter.numel(),
                (float)settings.Beta1, (float)(settings.Maximize ? settings.Beta1 - 1 : 1 - settings.Beta1), (float)settings.Beta2, (float)(1 - settings.Beta2),
                (float)(1 - (settings.LearningRate * settings.WeightDecay)), (float)settings.Epsilon,
            ]);
        return true;
    }
}
