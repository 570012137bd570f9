namespace AccelerateSharp;

/// <summary>A collective operation failed. The group it ran on is broken from then on and every later call throws the first cause.</summary>
public class DistributedException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, where, and what to do about it.</param>
    /// <param name="innerException">The cause, where there is one.</param>
    public DistributedException(string message, Exception? innerException = null) : base(message, innerException)
    {
    }

    /// <summary>The global rank of the process that throws this, also where it heard of the failure from another one; -1 where it is not known.</summary>
    public int Rank { get; init; } = -1;

    /// <summary>The operation that failed, for instance <c>all-reduce</c>; null outside of one.</summary>
    public string? Collective { get; init; }

    /// <summary>The position of the operation among all operations of its group, counted from 1; 0 outside of one.</summary>
    public long SequenceNumber { get; init; }

    /// <summary>Operation, dtype and shapes as this rank saw them, or those of every rank where they are known.</summary>
    public string? Shapes { get; init; }

    /// <summary>The global ranks that are gone or did not arrive, in ascending order; empty where that is not the cause.</summary>
    public IReadOnlyList<int> MissingRanks { get; init; } = [];

    /// <summary>The same failure for another thread to throw: an exception object must not be thrown twice.</summary>
    internal virtual DistributedException Copy() => new(Message, this)
    {
        Rank = Rank,
        Collective = Collective,
        SequenceNumber = SequenceNumber,
        Shapes = Shapes,
        MissingRanks = MissingRanks,
    };
}
