using AccelerateSharp.Launch;

namespace AccelerateSharp;

/// <summary>A process of the group ended, or its connection broke, while others still needed it.</summary>
public sealed class PeerLostException : DistributedException, IPeerFailure
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, where, and what to do about it.</param>
    /// <param name="innerException">The cause, where there is one.</param>
    public PeerLostException(string message, Exception? innerException = null) : base(message, innerException)
    {
    }

    internal override DistributedException Copy() => new PeerLostException(Message, this)
    {
        Rank = Rank,
        Collective = Collective,
        SequenceNumber = SequenceNumber,
        Shapes = Shapes,
        MissingRanks = MissingRanks,
    };
}
