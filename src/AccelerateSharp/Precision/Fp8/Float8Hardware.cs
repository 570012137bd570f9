using System.Collections.Concurrent;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>What a device can do with float8 by itself; the rest is emulated with the same numbers.</summary>
internal static class Float8Hardware
{
    /// <summary>Ada and Hopper: the first GPUs that multiply float8.</summary>
    private static readonly Version _first = new(8, 9);

    private static readonly ConcurrentDictionary<int, bool> _multiplies = new();
    private static readonly ConcurrentDictionary<(CudaKernels, int), bool> _compiles = new();
    private static readonly CudaKernels _quantizing = new("fp8_common.cu", "fp8_quantize.cu");
    private static readonly CudaKernels _adam = new("fp8_common.cu", "fp8_adam.cu");

    /// <summary>Whether matrix products run in float8; elsewhere the float8 values are multiplied in float32.</summary>
    public static bool Multiplies(Device device) =>
        device.type == DeviceType.CUDA && _multiplies.GetOrAdd(Index(device), static index => CudaDriver.ComputeCapability(index) >= _first);

    /// <summary>Our kernels that quantise on a device; null where libtorch's operators do, in several passes.</summary>
    public static CudaKernels? Kernels(Device device) => Compiled(_quantizing, device, "quantises");

    /// <summary>Our kernels for MS-AMP's optimizer step on a device; null where libtorch's operators compute it, in several passes.</summary>
    public static CudaKernels? AdamKernels(Device device) => Compiled(_adam, device, "steps under MS-AMP");

    public static int Index(Device device) => Math.Max(0, device.index);

    private static CudaKernels? Compiled(CudaKernels kernels, Device device, string what) => Multiplies(device)
        && _compiles.GetOrAdd((kernels, Index(device)), static (key, what) => Compiles(key.Item1, key.Item2, what), what) ? kernels : null;

    private static bool Compiles(CudaKernels kernels, int index, string what)
    {
        if (kernels.WhyUnavailable(index) is not { } reason) return true;
        Console.Error.WriteLine($"fp8 on cuda:{index} {what} with libtorch's operators, in several passes: {reason}");
        return false;
    }
}
