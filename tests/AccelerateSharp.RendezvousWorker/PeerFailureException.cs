using AccelerateSharp.Launch;

namespace AccelerateSharp.RendezvousWorker;

/// <summary>What a collective operation throws when another rank is gone.</summary>
internal sealed class PeerFailureException(string message) : Exception(message), IPeerFailure;
