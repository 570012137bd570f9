namespace AccelerateSharp;

/// <summary>An operation did not finish within the group's time-out.</summary>
public sealed class CollectiveTimeoutException : DistributedException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, where, and what to do about it.</param>
    /// <param name="innerException">The cause, where there is one.</param>
    public CollectiveTimeoutException(string message, Exception? innerException = null) : base(message, innerException)
    {
    }

    internal override DistributedException Copy() => new CollectiveTimeoutException(Message, this)
    {
        Rank = Rank,
        Collective = Collective,
        SequenceNumber = SequenceNumber,
        Shapes = Shapes,
        MissingRanks = MissingRanks,
    };
}
