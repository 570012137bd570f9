using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The CUDA driver API under its exact C names. The driver keeps these from toolkit to toolkit, the runtime library does not.</summary>
internal static unsafe partial class CudaDriverNative
{
    internal const string Library = "libcuda.so.1";

    internal const int Success = 0;
    internal const int NotReady = 600;

    internal const int ComputeCapabilityMajor = 75;
    internal const int ComputeCapabilityMinor = 76;

    internal const uint StreamNonBlocking = 1;
    internal const uint HostMemoryPortable = 1;
    internal const uint EventDefault = 0;
    internal const uint EventDisableTiming = 2;

    [LibraryImport(Library)]
    internal static partial int cuInit(uint flags);

    [LibraryImport(Library)]
    internal static partial int cuDriverGetVersion(out int version);

    [LibraryImport(Library)]
    internal static partial int cuGetErrorName(int error, out byte* name);

    [LibraryImport(Library)]
    internal static partial int cuGetErrorString(int error, out byte* text);

    [LibraryImport(Library)]
    internal static partial int cuDeviceGetCount(out int count);

    [LibraryImport(Library)]
    internal static partial int cuDeviceGet(out int device, int ordinal);

    [LibraryImport(Library)]
    internal static partial int cuDeviceGetAttribute(out int value, int attribute, int device);

    [LibraryImport(Library)]
    internal static partial int cuDevicePrimaryCtxRetain(out nint context, int device);

    /// <summary>Of the device whose context is current.</summary>
    [LibraryImport(Library)]
    internal static partial int cuMemGetInfo_v2(out nuint free, out nuint total);

    [LibraryImport(Library)]
    internal static partial int cuCtxGetCurrent(out nint context);

    [LibraryImport(Library)]
    internal static partial int cuCtxSetCurrent(nint context);

    [LibraryImport(Library)]
    internal static partial int cuStreamCreate(out nint stream, uint flags);

    [LibraryImport(Library)]
    internal static partial int cuStreamDestroy_v2(nint stream);

    [LibraryImport(Library)]
    internal static partial int cuStreamQuery(nint stream);

    [LibraryImport(Library)]
    internal static partial int cuStreamSynchronize(nint stream);

    [LibraryImport(Library)]
    internal static partial int cuStreamWaitEvent(nint stream, nint @event, uint flags);

    [LibraryImport(Library)]
    internal static partial int cuEventCreate(out nint @event, uint flags);

    [LibraryImport(Library)]
    internal static partial int cuEventDestroy_v2(nint @event);

    [LibraryImport(Library)]
    internal static partial int cuEventRecord(nint @event, nint stream);

    [LibraryImport(Library)]
    internal static partial int cuEventQuery(nint @event);

    [LibraryImport(Library)]
    internal static partial int cuEventSynchronize(nint @event);

    [LibraryImport(Library)]
    internal static partial int cuEventElapsedTime(out float milliseconds, nint start, nint end);

    /// <summary>Copies between any two addresses of the unified address space; which side is host memory the driver sees by itself.</summary>
    [LibraryImport(Library)]
    internal static partial int cuMemcpyAsync(ulong destination, ulong source, nuint bytes, nint stream);

    /// <summary>Pinned host memory; portable means pinned for every GPU of the process.</summary>
    [LibraryImport(Library)]
    internal static partial int cuMemHostAlloc(out nint address, nuint bytes, uint flags);

    [LibraryImport(Library)]
    internal static partial int cuMemFreeHost(nint address);

    [LibraryImport(Library)]
    internal static partial int cuModuleLoadData(out nint module, byte* image);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int cuModuleGetFunction(out nint function, nint module, string name);

    [LibraryImport(Library)]
    internal static partial int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** arguments, void** extra);
}
