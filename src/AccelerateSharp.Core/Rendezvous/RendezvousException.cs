namespace AccelerateSharp;

/// <summary>The workers of a job cannot meet, or have lost each other.</summary>
public sealed class RendezvousException : Exception
{
    /// <summary>Creates the exception.</summary>
    public RendezvousException()
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, to which rank, and what helps.</param>
    public RendezvousException(string message) : base(message)
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, to which rank, and what helps.</param>
    /// <param name="innerException">The cause.</param>
    public RendezvousException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
