using AccelerateSharp.Internal.Interop;
using TorchSharp;

namespace AccelerateSharp.Precision;

/// <summary>Which precisions a device computes in.</summary>
internal static class PrecisionSupport
{
    /// <summary>Ampere: the first GPUs that multiply in bfloat16.</summary>
    private static readonly Version _bfloat16 = new(8, 0);

    /// <exception cref="NotSupportedException">The device cannot do it; the message says what it can.</exception>
    public static void Check(MixedPrecision precision, torch.Device device, int rank) =>
        Check(precision, device, rank, () => CudaDriver.ComputeCapability(Math.Max(0, device.index)));

    internal static void Check(MixedPrecision precision, torch.Device device, int rank, Func<Version> capability)
    {
        if (precision == MixedPrecision.No) return;
        if (device.type is not (DeviceType.CPU or DeviceType.CUDA))
            throw new NotSupportedException($"Rank {rank}: {device} computes in the precision of the weights only; use mixedPrecision: MixedPrecision.No.");
        if (precision is MixedPrecision.BF16 or MixedPrecision.FP8 && device.type == DeviceType.CUDA && capability() is var found && found < _bfloat16)
        {
            throw new NotSupportedException(
                $"Rank {rank}: {device} has compute capability {found}, and {(precision == MixedPrecision.FP8 ? "fp8 with the rest in bf16" : "bf16")} needs {_bfloat16} or more. Use mixedPrecision: MixedPrecision.FP16 (accelerate launch --mixed_precision fp16).");
        }
    }
}
