using System.Collections.Concurrent;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Compiled kernels in one GPU's context. They stay until the process ends.</summary>
internal sealed unsafe class CudaModule
{
    private readonly ConcurrentDictionary<string, CudaKernel> _kernels = new();
    private readonly CudaContext _context;
    private readonly nint _module;

    private CudaModule(CudaContext context, nint module) => (_context, _module) = (context, module);

    internal static CudaModule Compile(string source, string name, CudaContext context)
    {
        var code = Nvrtc.Compile(source, name, CudaDriver.ComputeCapability(context.DeviceIndex));
        using var scope = context.Enter();
        fixed (byte* pointer = code)
        {
            CudaDriver.Check(CudaDriverNative.cuModuleLoadData(out var module, pointer), nameof(CudaDriverNative.cuModuleLoadData));
            return new CudaModule(context, module);
        }
    }

    internal CudaKernel Kernel(string name) => _kernels.GetOrAdd(name, Find);

    private CudaKernel Find(string name)
    {
        using var scope = _context.Enter();
        CudaDriver.Check(CudaDriverNative.cuModuleGetFunction(out var function, _module, name), $"{nameof(CudaDriverNative.cuModuleGetFunction)}({name})");
        return new CudaKernel(_context, function, name);
    }
}
