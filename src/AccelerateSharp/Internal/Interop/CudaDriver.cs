using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The checked face of the CUDA driver: whether there is one, its errors as exceptions, and asynchronous copies.</summary>
internal static unsafe class CudaDriver
{
    private static readonly Lazy<string?> _whyNot = new(Start);

    /// <summary>True where a CUDA driver is installed and sees at least one GPU.</summary>
    internal static bool IsAvailable => _whyNot.Value is null;

    /// <summary>Why <see cref="IsAvailable"/> is false, for the message a user reads; null where it is true.</summary>
    internal static string? WhyUnavailable => _whyNot.Value;

    /// <summary>Number of GPUs that this process sees; zero without a driver.</summary>
    internal static int DeviceCount
    {
        get
        {
            if (!IsAvailable) return 0;
            Check(CudaDriverNative.cuDeviceGetCount(out var count), nameof(CudaDriverNative.cuDeviceGetCount));
            return count;
        }
    }

    /// <summary>The generation of a GPU: 8.0 is Ampere, 9.0 is Hopper.</summary>
    internal static Version ComputeCapability(int deviceIndex)
    {
        if (!IsAvailable) throw new InvalidOperationException($"CUDA device {deviceIndex} was asked for, but {WhyUnavailable}.");
        Check(CudaDriverNative.cuDeviceGet(out var device, deviceIndex), $"{nameof(CudaDriverNative.cuDeviceGet)}({deviceIndex})");
        Check(CudaDriverNative.cuDeviceGetAttribute(out var major, CudaDriverNative.ComputeCapabilityMajor, device), nameof(CudaDriverNative.cuDeviceGetAttribute));
        Check(CudaDriverNative.cuDeviceGetAttribute(out var minor, CudaDriverNative.ComputeCapabilityMinor, device), nameof(CudaDriverNative.cuDeviceGetAttribute));
        return new Version(major, minor);
    }

    /// <exception cref="CudaException"><paramref name="result"/> is not success.</exception>
    internal static void Check(int result, string call)
    {
        if (result != CudaDriverNative.Success) throw new CudaException(call, result, Describe(result));
    }

    /// <summary>Like <see cref="Check"/> for the query calls, where "not ready" is an answer and no error.</summary>
    internal static bool CheckReady(int result, string call)
    {
        if (result == CudaDriverNative.NotReady) return false;
        Check(result, call);
        return true;
    }

    /// <summary>Queues a copy of <paramref name="bytes"/> bytes on a stream; either side may be GPU memory or (pinned, to overlap) host memory.</summary>
    internal static void CopyAsync(nint destination, nint source, long bytes, nint stream)
    {
        if (bytes == 0) return;
        Check(CudaDriverNative.cuMemcpyAsync((ulong)destination, (ulong)source, checked((nuint)bytes), stream), nameof(CudaDriverNative.cuMemcpyAsync));
    }

    /// <summary>Host memory that a GPU reads by itself; the calling thread has a context. Give it back with <see cref="FreePinned"/>.</summary>
    internal static nint AllocatePinned(long bytes)
    {
        Check(CudaDriverNative.cuMemHostAlloc(out var address, checked((nuint)bytes), CudaDriverNative.HostMemoryPortable), nameof(CudaDriverNative.cuMemHostAlloc));
        return address;
    }

    /// <summary>Gives back what <see cref="AllocatePinned"/> returned. No copy may be reading it any more.</summary>
    internal static void FreePinned(nint address) => Check(CudaDriverNative.cuMemFreeHost(address), nameof(CudaDriverNative.cuMemFreeHost));

    private static string? Start()
    {
        if (!NativeLibrary.TryLoad(CudaDriverNative.Library, out _))
            return $"{CudaDriverNative.Library} (the NVIDIA driver) is not installed, or not on the loader's path";
        var result = CudaDriverNative.cuInit(0);
        if (result == CudaDriverNative.Success) result = CudaDriverNative.cuDeviceGetCount(out var count) is var error && error != 0 ? error : count > 0 ? 0 : -1;
        return result switch
        {
            CudaDriverNative.Success => null,
            -1 => "the NVIDIA driver sees no GPU (CUDA_VISIBLE_DEVICES?)",
            _ => $"cuInit failed: {Describe(result)}",
        };
    }

    private static string Describe(int result)
    {
        byte* name = null, text = null;
        if (CudaDriverNative.cuGetErrorName(result, out name) != CudaDriverNative.Success) return $"unknown CUDA error {result}";
        CudaDriverNative.cuGetErrorString(result, out text);
        return $"{Marshal.PtrToStringUTF8((nint)name)}: {Marshal.PtrToStringUTF8((nint)text)}";
    }
}

/// <summary>A call of the CUDA driver failed.</summary>
internal sealed class CudaException(string call, int result, string description) : Exception($"{call} failed with {description} (CUDA error {result})")
{
    /// <summary>The driver's <c>CUresult</c>.</summary>
    internal int Result { get; } = result;
}
