using System.Collections.Concurrent;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Launch;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Kernels;

/// <summary>Kernels of our own for what a transformer does between its matrix products: one pass over the memory where libtorch's operators make several.</summary>
/// <remarks>
/// They need NVIDIA's run-time compiler, which lies beside every libtorch with CUDA. Where there is none, on other devices, and for
/// shapes that they do not know, callers go libtorch's way, which computes the same.
/// </remarks>
internal static class TrainingKernels
{
    /// <summary>False: libtorch's operators everywhere.</summary>
    public const string Variable = "ACCELERATE_FUSED_KERNELS";

    private static readonly CudaKernels _kernels = new("training_kernels.cu");
    private static readonly CudaKernels _optimizerKernels = new("optimizer_kernels.cu");
    private static readonly ConcurrentDictionary<(CudaKernels Kernels, int Index), bool> _compiles = new();
    private static readonly Lazy<bool> _isWanted = new(static () => new EnvironmentReader().Flag(Variable, defaultValue: true));

    /// <summary>The kernels of forward and backward for the tensor's device; null where libtorch's operators must do.</summary>
    public static CudaKernels? For(Tensor tensor) => For(tensor, _kernels);

    /// <summary>Those of optimizers.</summary>
    public static CudaKernels? OfOptimizersFor(Tensor tensor) => For(tensor, _optimizerKernels);

    /// <summary>The GPU that a tensor is on.</summary>
    public static int Index(Tensor tensor) => Math.Max(0, tensor.device_index);

    /// <summary>How the kernels call a dtype; null for those that they do not know.</summary>
    public static string? NameOf(ScalarType dtype) => dtype switch
    {
        ScalarType.Float32 => "f32",
        ScalarType.BFloat16 => "bf16",
        ScalarType.Float16 => "f16",
        _ => null,
    };

    /// <summary>Whether eight neighbours can be read at once wherever a row begins.</summary>
    public static bool IsAligned(Tensor tensor) => TensorHandles.DataPointer(tensor) % (8 * tensor.element_size()) == 0;

    private static CudaKernels? For(Tensor tensor, CudaKernels kernels) =>
        tensor.device_type == DeviceType.CUDA && _isWanted.Value && _compiles.GetOrAdd((kernels, Index(tensor)), Compiles) ? kernels : null;

    private static bool Compiles((CudaKernels Kernels, int Index) key)
    {
        if (key.Kernels.WhyUnavailable(key.Index) is not { } reason) return true;
        Console.Error.WriteLine($"cuda:{key.Index} computes with libtorch's operators, in several passes, what kernels of ours do in one: {reason}");
        return false;
    }
}
