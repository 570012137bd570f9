using System.Collections.Concurrent;
using System.Reflection;
using System.Text;

namespace AccelerateSharp.Internal.Interop;

/// <summary>CUDA kernels of our own: sources that are part of this assembly, compiled as one, once for each GPU when it is first needed.</summary>
/// <example><code>
/// private static readonly CudaKernels _kernels = new("fp8_common.cu", "fp8_quantize.cu");
/// if (_kernels.WhyUnavailable(device) is null) _kernels.Get("amax_f32", device).Launch(blocks, 256, [input, amax, count]);
/// </code></example>
internal sealed class CudaKernels(params string[] sources)
{
    private readonly ConcurrentDictionary<int, Lazy<CudaModule>> _modules = new();
    private readonly ConcurrentDictionary<int, string> _failures = new();

    /// <summary>Why the kernels cannot run on a GPU, or null where they can. The first call for a GPU compiles them, which takes about a second.</summary>
    /// <remarks>Without a compiler, or with one that does not know the GPU, the caller has another way, and says once why it is slower.</remarks>
    internal string? WhyUnavailable(int deviceIndex)
    {
        if (!Nvrtc.IsAvailable) return Nvrtc.WhyUnavailable;
        if (_failures.TryGetValue(deviceIndex, out var failure)) return failure;
        try
        {
            _ = Module(deviceIndex);
            return null;
        }
        catch (Exception exception) when (exception is InvalidOperationException or CudaException or EntryPointNotFoundException)
        {
            return _failures.GetOrAdd(deviceIndex, exception.Message);
        }
    }

    /// <summary>A kernel by the name of its <c>extern "C"</c> function.</summary>
    internal CudaKernel Get(string name, int deviceIndex) => Module(deviceIndex).Kernel(name);

    private CudaModule Module(int deviceIndex) =>
        _modules.GetOrAdd(deviceIndex, index => new Lazy<CudaModule>(() => CudaModule.Compile(string.Concat(sources.Select(Read)), sources[^1], CudaContext.Of(index)))).Value;

    private static string Read(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
            ?? throw new ArgumentException($"There is no source '{name}' in {Assembly.GetExecutingAssembly().GetName().Name}.", nameof(name));
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
