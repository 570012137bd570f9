namespace AccelerateSharp.Cli;

/// <summary>Something that the user can set right; the message says how, and no stack trace is shown.</summary>
internal sealed class UserErrorException(string message) : Exception(message);
