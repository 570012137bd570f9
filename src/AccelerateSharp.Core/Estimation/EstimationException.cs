namespace AccelerateSharp.Estimation;

/// <summary>A model or a setting that nothing can be estimated from; the message says what to change.</summary>
internal sealed class EstimationException(string message, Exception? innerException = null) : Exception(message, innerException);
