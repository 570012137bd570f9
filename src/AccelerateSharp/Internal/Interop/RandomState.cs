using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Where libtorch's random number generators stand: the CPU's, and one GPU's, which TorchSharp does not show.</summary>
internal sealed partial class RandomState : IDisposable
{
    private readonly Tensor _cpu;
    private readonly Tensor? _gpu;
    private readonly sbyte _device;

    private RandomState(Device? device)
    {
        _cpu = Take(CpuGenerator());
        if (device?.type != TorchSharp.DeviceType.CUDA) return;
        _device = (sbyte)Math.Max(device.index, 0);
        _gpu = Take(CudaGenerator(_device));
    }

    /// <summary>Reads the CPU's generator and, where <paramref name="device"/> is a GPU, that one's. The device is not waited for.</summary>
    internal static RandomState Capture(Device? device) => new(device);

    /// <summary>Makes the generators go on from here.</summary>
    internal void Restore()
    {
        Put(CpuGenerator(), _cpu);
        if (_gpu is not null) Put(CudaGenerator(_device), _gpu);
    }

    public void Dispose()
    {
        _cpu.Dispose();
        _gpu?.Dispose();
    }

    private static Tensor Take(nint generator)
    {
        var state = THSGenerator_get_rng_state(generator);
        if (state == 0) NativeErrors.Check();
        return Tensor.UnsafeCreateTensor(state).DetachFromDisposeScope();
    }

    private static void Put(nint generator, Tensor state)
    {
        THSGenerator_set_rng_state(generator, state.Handle);
        NativeErrors.Check();
    }

    /// <summary><c>at::detail::getDefaultCPUGenerator</c>; a reference to a generator that lives as long as the process.</summary>
    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at6detail22getDefaultCPUGeneratorEv")]
    private static partial nint CpuGenerator();

    /// <summary><c>at::cuda::detail::getDefaultCUDAGenerator</c>.</summary>
    [LibraryImport(NativeLibraries.TorchCuda, EntryPoint = "_ZN2at4cuda6detail23getDefaultCUDAGeneratorEa")]
    private static partial nint CudaGenerator(sbyte device);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial nint THSGenerator_get_rng_state(nint generator);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial void THSGenerator_set_rng_state(nint generator, nint state);
}
