using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>What libtorch knows about CUDA streams and TorchSharp does not show.</summary>
internal static partial class TorchCuda
{
    /// <summary>
    /// The stream on which libtorch queues the calling thread's operators for a GPU. Zero, the legacy default stream, unless
    /// somebody chose another one.
    /// </summary>
    /// <exception cref="InvalidOperationException">libtorch refused, for instance because the index names no GPU.</exception>
    internal static nint CurrentStream(int deviceIndex)
    {
        Check(aoti_torch_get_current_cuda_stream(deviceIndex, out var stream), nameof(aoti_torch_get_current_cuda_stream), deviceIndex);
        return stream;
    }

    /// <summary>Makes the calling thread's operators run, and allocate, on a stream until the result is disposed.</summary>
    /// <remarks>Memory that is allocated meanwhile belongs to that stream: freed, it is used again only behind what the stream does now.</remarks>
    internal static StreamScope Use(nint stream, int deviceIndex)
    {
        var previous = CurrentStream(deviceIndex);
        Check(torch_set_current_cuda_stream(stream, deviceIndex), nameof(torch_set_current_cuda_stream), deviceIndex);
        return new StreamScope(previous, deviceIndex);
    }

    private static void Check(int error, string call, int deviceIndex)
    {
        if (error != 0) throw new InvalidOperationException($"{call} failed for cuda:{deviceIndex}; libtorch wrote its cause to the standard error stream.");
    }

    [LibraryImport(NativeLibraries.TorchCuda)]
    private static partial int aoti_torch_get_current_cuda_stream(int deviceIndex, out nint stream);

    [LibraryImport(NativeLibraries.TorchCuda)]
    private static partial int torch_set_current_cuda_stream(nint stream, int deviceIndex);

    internal readonly ref struct StreamScope(nint previous, int deviceIndex)
    {
        public void Dispose() => Check(torch_set_current_cuda_stream(previous, deviceIndex), nameof(torch_set_current_cuda_stream), deviceIndex);
    }
}
