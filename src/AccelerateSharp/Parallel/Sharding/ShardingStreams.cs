using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The streams beside the computing one; on CPUs there are none, and everything runs in line.</summary>
internal sealed class ShardingStreams(Device device) : IDisposable
{
    /// <summary>Casts shards, and copies them from the host, on their way into a gather.</summary>
    public SideStream? Gather { get; } = SideStream.Of(device);

    /// <summary>Copies reduced gradients to the host.</summary>
    public SideStream? Offload { get; } = SideStream.Of(device);

    public static void Run(SideStream? stream, Action operators)
    {
        if (stream is null) operators();
        else stream.Run(operators);
    }

    /// <summary>What the calling thread queues from now on runs behind a mark.</summary>
    public void MakeCallerWait(CudaEvent mark) => mark.MakeWait(TorchCuda.CurrentStream(Math.Max(device.index, 0)));

    public void Dispose()
    {
        Gather?.Dispose();
        Offload?.Dispose();
    }
}
