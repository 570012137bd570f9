namespace AccelerateSharp;

/// <summary>How the process group of a distributed run is set up.</summary>
public sealed record InitProcessGroupKwargs
{
    /// <summary>How long a collective may take before it ends in a <see cref="CollectiveTimeoutException"/>; by default 30 minutes with Gloo, 10 minutes with NCCL.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>How long the workers wait for each other at the start; 5 minutes by default.</summary>
    public TimeSpan RendezvousTimeout { get; init; } = TimeSpan.FromMinutes(5);
}
