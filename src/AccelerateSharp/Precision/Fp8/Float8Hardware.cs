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
    private static readonly ConcurrentDictionary<int, bool> _quantizes = new();
    private static readonly CudaKernels _kernels = new("fp8_kernels.cu");

    /// <summary>Whether matrix products run in float8; elsewhere the float8 values are multiplied in float32.</summary>
    public static bool Multiplies(Device device) =>
        device.type == DeviceType.CUDA && _multiplies.GetOrAdd(Index(device), static index => CudaDriver.ComputeCapability(index) >= _first);

    /// <summary>Our kernels for a device; null where libtorch's operators quantise instead, in several passes.</summary>
    public static CudaKernels? Kernels(Device device) =>
        Multiplies(device) && _quantizes.GetOrAdd(Index(device), Compiles) ? _kernels : null;

    public static int Index(Device device) => Math.Max(0, device.index);

    private static bool Compiles(int index)
    {
        if (_kernels.WhyUnavailable(index) is not { } reason) return true;
        Console.Error.WriteLine($"fp8 on cuda:{index} quantises with libtorch's operators, in several passes: {reason}");
        return false;
    }
}
