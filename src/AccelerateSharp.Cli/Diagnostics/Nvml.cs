using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>NVIDIA's management library, which the driver installs; it starts no CUDA and takes no memory on a GPU.</summary>
internal sealed unsafe class Nvml : IDisposable
{
    private const string Library = "libnvidia-ml.so.1";
    private const int TextLength = 96;

    private readonly nint _library;

    private Nvml(nint library) => _library = library;

    /// <param name="whyNot">Why there is none.</param>
    public static Nvml? TryOpen(out string whyNot)
    {
        whyNot = $"no {Library}";
        if (!NativeLibrary.TryLoad(Library, out var library)) return null;
        var result = -1;
        if (NativeLibrary.TryGetExport(library, "nvmlInit_v2", out var start)) result = ((delegate* unmanaged<int>)start)();
        if (result == 0) return new Nvml(library);
        whyNot = $"{Library} does not start: error {result}";
        NativeLibrary.Free(library);
        return null;
    }

    public DriverFacts Driver()
    {
        var cuda = 0;
        if (TryFind("nvmlSystemGetCudaDriverVersion_v2", out var function)) _ = ((delegate* unmanaged<int*, int>)function)(&cuda);
        var version = TryFind("nvmlSystemGetDriverVersion", out var text) ? Text((buffer, length) => ((delegate* unmanaged<byte*, uint, int>)text)((byte*)buffer, length)) : null;
        return new DriverFacts(version, cuda == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{cuda / 1000}.{cuda / 10 % 100}"), "NVML");
    }

    public IReadOnlyList<GpuFacts> Gpus()
    {
        var count = 0u;
        if (TryFind("nvmlDeviceGetCount_v2", out var function)) _ = ((delegate* unmanaged<uint*, int>)function)(&count);
        return [.. Enumerable.Range(0, (int)count).Select(Gpu)];
    }

    public void Dispose()
    {
        if (TryFind("nvmlShutdown", out var function)) _ = ((delegate* unmanaged<int>)function)();
        NativeLibrary.Free(_library);
    }

    private GpuFacts Gpu(int index)
    {
        nint device = 0;
        if (!TryFind("nvmlDeviceGetHandleByIndex_v2", out var function) || ((delegate* unmanaged<uint, nint*, int>)function)((uint)index, &device) != 0)
            return new GpuFacts(index, "not accessible", null, null, null, null);
        var memory = default(Memory);
        var hasMemory = TryFind("nvmlDeviceGetMemoryInfo", out var ask) && ((delegate* unmanaged<nint, Memory*, int>)ask)(device, &memory) == 0;
        int major = 0, minor = 0;
        var hasCapability = TryFind("nvmlDeviceGetCudaComputeCapability", out ask) && ((delegate* unmanaged<nint, int*, int*, int>)ask)(device, &major, &minor) == 0;
        return new GpuFacts(
            index, DeviceText("nvmlDeviceGetName", device) ?? "unknown", hasMemory ? (long)memory.Total : null, hasMemory ? (long)memory.Free : null,
            hasCapability ? string.Create(CultureInfo.InvariantCulture, $"{major}.{minor}") : null, DeviceText("nvmlDeviceGetUUID", device));
    }

    private string? DeviceText(string name, nint device) => TryFind(name, out var function)
        ? Text((buffer, length) => ((delegate* unmanaged<nint, byte*, uint, int>)function)(device, (byte*)buffer, length))
        : null;

    private static string? Text(Func<nint, uint, int> fill)
    {
        var buffer = stackalloc byte[TextLength];
        return fill((nint)buffer, TextLength) == 0 ? Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(buffer)) : null;
    }

    private bool TryFind(string name, out nint function) => NativeLibrary.TryGetExport(_library, name, out function);

    /// <summary>nvmlMemory_t.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Memory
    {
        public ulong Total;
        public ulong Free;
        public ulong Used;
    }
}
