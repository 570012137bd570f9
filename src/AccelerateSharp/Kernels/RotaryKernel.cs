using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary>Rotary positions in one pass; the gradient is the rotation back, for which nothing but the tables is kept.</summary>
internal static class RotaryKernel
{
    private const int Threads = 256;

    /// <summary>Rotates; null where there is no kernel for these tensors.</summary>
    /// <param name="heads">[batch, time, heads, width].</param>
    /// <param name="cos">float32, [time, 1, width] or [batch, time, 1, width].</param>
    /// <param name="sin">The same; negative in the first half of the width.</param>
    public static Tensor? TryApply(Tensor heads, Tensor cos, Tensor sin)
    {
        if (!CanRotate(heads) || cos.dtype != ScalarType.Float32 || sin.dtype != ScalarType.Float32 || TrainingKernels.For(heads) is not { } kernels) return null;
        if (!TrainingKernels.IsAligned(heads) || !IsTable(cos, heads) || !IsTable(sin, heads) || cos.stride(-3) != sin.stride(-3)) return null;
        Tensor rotated;
        using (no_grad()) rotated = Rotate(kernels, heads, cos, sin, 1);
        if (!is_grad_enabled() || !heads.requires_grad) return rotated;
        var saved = new SavedTensors();
        var (savedCos, savedSin) = (cos.detach(), sin.detach());
        saved.Keep([savedCos, savedSin]);
        AutogradNode.Attach([heads], [rotated], gradients =>
        {
            if (gradients[0] is not { } gradient) return;
            if (!CanRotate(gradient) || !TrainingKernels.IsAligned(gradient)) gradient = gradient.contiguous();
            gradients.PassOn(0, Rotate(kernels, gradient, savedCos, savedSin, -1));
        }, saved: saved, first: false);
        return rotated;
    }

    private static Tensor Rotate(CudaKernels kernels, Tensor heads, Tensor cos, Tensor sin, float direction)
    {
        var (shape, output) = (heads.shape, empty(heads.shape, heads.dtype, heads.device));
        var pieces = heads.numel() / 16;
        kernels.Get($"rotate_{TrainingKernels.NameOf(heads.dtype)}", TrainingKernels.Index(heads)).Launch(
            (pieces + Threads - 1) / Threads, Threads,
            [
                heads, output, cos, sin, direction, shape[0], shape[2], shape[1], (int)shape[3],
                heads.stride(0), heads.stride(2), heads.stride(1), output.stride(0), output.stride(2), output.stride(1),
                cos.dim() == 4 && cos.shape[0] > 1 ? cos.stride(0) : 0L, cos.stride(-3),
            ]);
        return output;
    }

    private static bool CanRotate(Tensor heads) =>
        heads.dim() == 4 && heads.shape[3] % 16 == 0 && TrainingKernels.NameOf(heads.dtype) is not null
        && heads.stride(3) == 1 && heads.stride(0) % 8 == 0 && heads.stride(1) % 8 == 0 && heads.stride(2) % 8 == 0;

    private static bool IsTable(Tensor table, Tensor heads) =>
        table.dim() is 3 or 4 && table.shape[^1] == heads.shape[3] && table.shape[^2] == 1 && table.shape[^3] == heads.shape[1]
        && table.stride(-1) == 1 && table.stride(-3) % 8 == 0 && (table.dim() == 3 || table.shape[0] == heads.shape[0] || table.shape[0] == 1)
        && TrainingKernels.IsAligned(table);
}
