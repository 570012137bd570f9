using System.Globalization;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.TrainLlama;

/// <summary>The peaks that libtorch's caching allocator has seen, where cuda_memory.cpp is built beside; else what the device has lost.</summary>
internal sealed unsafe partial class PeakMemory
{
    private readonly Device _device;
    private readonly delegate* unmanaged[Cdecl]<int, int, long> _peak;
    private readonly long _before;

    /// <param name="device">The device that computes.</param>
    public PeakMemory(Device device)
    {
        _device = device;
        if (device.type != TorchSharp.DeviceType.CUDA) return;
        // The driver answers where there is a context, and the first tensor makes one.
        using var first = zeros(1, device: device);
        if (Environment.GetEnvironmentVariable("TRAIN_LLAMA_MEMORY") is { Length: > 0 } library && NativeLibrary.TryLoad(library, out var handle))
            _peak = (delegate* unmanaged[Cdecl]<int, int, long>)NativeLibrary.GetExport(handle, "peak_bytes");
        // The driver answers threads that have a context, and libtorch makes one with its first tensor.
        empty(1, device: device).Dispose();
        _before = Used();
    }

    /// <summary>Where the numbers come from.</summary>
    public string Source => _device.type != TorchSharp.DeviceType.CUDA
        ? "VmHWM of the process"
        : _peak is not null ? "libtorch's caching allocator" : "cuMemGetInfo: what the device lost since the start";

    /// <summary>Most bytes that tensors took at once; null where nobody counts.</summary>
    public long? Allocated => _peak is null ? null : _peak(_device.index, 0);

    /// <summary>Most bytes that were taken from the device.</summary>
    public long Reserved => _device.type != TorchSharp.DeviceType.CUDA ? Resident() : _peak is not null ? _peak(_device.index, 1) : Used() - _before;

    private static long Used() => cuMemGetInfo_v2(out var free, out var total) == 0 ? (long)(total - free) : throw new InvalidOperationException("cuMemGetInfo failed.");

    private static long Resident()
    {
        var line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }

    [LibraryImport("libcuda.so.1")]
    private static partial int cuMemGetInfo_v2(out nuint free, out nuint total);
}
