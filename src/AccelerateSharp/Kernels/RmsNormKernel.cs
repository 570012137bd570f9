using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary>RMSNorm (Zhang and Sennrich 2019) over the last dimension, with its weight, in the dtype in which the result is needed.</summary>
/// <remarks>For backward it keeps its input, which the residual stream keeps anyway, and one number for each row.</remarks>
internal static class RmsNormKernel
{
    private const int MaxThreads = 256;
    private const int ElementsPerThread = 32;

    /// <summary>Blocks of the gradient kernel: each leaves one row of the weight's gradient.</summary>
    private const int MaxShares = 512;

    /// <summary>Input, weight and output dtypes that there are kernels for.</summary>
    private static readonly HashSet<string> _known = ["f32_f32_f32", "f32_f32_bf16", "f32_f32_f16", "bf16_f32_bf16", "f16_f32_f16", "bf16_bf16_bf16", "f16_f16_f16"];

    /// <summary>The normalised input; null where there is no kernel for these tensors.</summary>
    /// <param name="input">[..., width].</param>
    /// <param name="weight">[width].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="dtype">Of the result.</param>
    public static Tensor? TryApply(Tensor input, Tensor weight, double epsilon, ScalarType dtype)
    {
        var width = input.shape[^1];
        var name = $"{TrainingKernels.NameOf(input.dtype)}_{TrainingKernels.NameOf(weight.dtype)}_{TrainingKernels.NameOf(dtype)}";
        if (!_known.Contains(name) || width % 8 != 0 || width > MaxThreads * ElementsPerThread || weight.dim() != 1 || weight.shape[0] != width) return null;
        if (!input.is_contiguous() || !weight.is_contiguous() || TrainingKernels.For(input) is not { } kernels) return null;
        if (!TrainingKernels.IsAligned(input) || !TrainingKernels.IsAligned(weight)) return null;

        var (rows, index) = (input.numel() / width, TrainingKernels.Index(input));
        var output = empty(input.shape, dtype, input.device);
        var inverses = empty(rows, ScalarType.Float32, input.device);
        kernels.Get($"rms_norm_{name}", index).Launch(rows, Threads(width), [input, weight, output, inverses, (int)width, (float)epsilon]);
        if (!is_grad_enabled() || !(input.requires_grad || weight.requires_grad))
        {
            inverses.Dispose();
            return output;
        }

        var saved = new SavedTensors();
        var (savedInput, savedWeight) = (input.detach(), weight.detach());
        saved.Keep([savedInput, savedWeight, inverses]);
        AutogradNode.Attach([input, weight], [output], gradients =>
        {
            if (saved.IsDisposed) throw new InvalidOperationException("Backward ran a second time through a model whose activations were freed: use retain_graph the first time, or compute the forward again.");
            if (gradients[0] is not { } gradient) return;
            var blocks = Math.Min(rows, MaxShares);
            var (ofInput, shares) = (empty_like(savedInput), empty(blocks, width, ScalarType.Float32, savedInput.device));
            kernels.Get($"rms_norm_backward_{name}", index).Launch(
                blocks, Threads(width), [gradient.contiguous(), savedInput, savedWeight, inverses, ofInput, shares, rows, (int)width]);
            gradients.PassOn(0, ofInput);
            gradients.PassOn(1, shares.sum([0L]).to(savedWeight.dtype));
            if (!AutogradNode.KeepsGraph) saved.Dispose();
        }, saved: saved, first: false);
        return output;
    }

    /// <summary>Whole warps, and no more of them than a row has work for.</summary>
    private static int Threads(long width) => (int)Math.Min(MaxThreads, ((width / 8) + 31) / 32 * 32);
}
