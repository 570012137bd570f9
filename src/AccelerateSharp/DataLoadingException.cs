namespace AccelerateSharp;

/// <summary>A sample or batch could not be read. The cause is the inner exception.</summary>
public sealed class DataLoadingException : Exception
{
    /// <summary>Creates the exception without further facts.</summary>
    public DataLoadingException()
    {
    }

    /// <summary>Creates the exception with a message.</summary>
    /// <param name="message">What failed.</param>
    public DataLoadingException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a message and its cause.</summary>
    /// <param name="message">What failed.</param>
    /// <param name="innerException">Why.</param>
    public DataLoadingException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Index of the sample in its dataset, where one sample is to blame.</summary>
    public long? SampleIndex { get; init; }
}
