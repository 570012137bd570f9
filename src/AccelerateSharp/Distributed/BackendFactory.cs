using AccelerateSharp.Distributed.Gloo;
using AccelerateSharp.Distributed.Nccl;

namespace AccelerateSharp.Distributed;

/// <summary>The backends by name.</summary>
internal static class BackendFactory
{
    public static TimeSpan DefaultTimeout(string backend) => backend == "nccl" ? TimeSpan.FromMinutes(10) : TimeSpan.FromMinutes(30);

    /// <param name="backend">"gloo" or "nccl".</param>
    /// <param name="context">Who is in the group.</param>
    /// <param name="deviceIndex">The GPU of this process, for nccl.</param>
    public static CollectiveBackend Create(string backend, GroupContext context, int deviceIndex) => backend switch
    {
        "gloo" => new GlooBackend(context),
        "nccl" => NcclBackend.Create(context, deviceIndex),
        _ => throw new ArgumentException($"There is no communication backend '{backend}'. Use gloo for CPU tensors or nccl for CUDA tensors.", nameof(backend)),
    };
}
