namespace AccelerateSharp;

/// <summary>The ranks of a group called different operations, or the same one with different dtypes, shapes, roots or reductions.</summary>
public sealed class CollectiveMismatchException : DistributedException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, where, and what to do about it.</param>
    /// <param name="innerException">The cause, where there is one.</param>
    public CollectiveMismatchException(string message, Exception? innerException = null) : base(message, innerException)
    {
    }

    internal override DistributedException Copy() => new CollectiveMismatchException(Message, this)
    {
        Rank = Rank,
        Collective = Collective,
        SequenceNumber = SequenceNumber,
        Shapes = Shapes,
        MissingRanks = MissingRanks,
    };
}
