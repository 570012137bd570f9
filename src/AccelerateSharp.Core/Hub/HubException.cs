namespace AccelerateSharp.Hub;

/// <summary>The kinds of failure that a user can do something about.</summary>
internal enum HubFailure
{
    /// <summary>A setting makes no sense.</summary>
    Settings,

    /// <summary>There is no such repository, or it is private.</summary>
    NoSuchModel,

    /// <summary>There is no such revision in the repository.</summary>
    NoSuchRevision,

    /// <summary>There is no such file in the repository.</summary>
    NoSuchFile,

    /// <summary>The authors' conditions must be accepted first, or a token is missing.</summary>
    Gated,

    /// <summary>The token is not valid, or allows too little.</summary>
    Unauthorized,

    /// <summary>Only the cache may be used, and it has not got what is asked for.</summary>
    Offline,

    /// <summary>The server does not answer, or keeps failing.</summary>
    Unreachable,

    /// <summary>What the server sent is not what it announced.</summary>
    Damaged,
}

/// <summary>Something could not be had from the Hub; the message says why, and what helps.</summary>
internal sealed class HubException(HubFailure failure, string message, Exception? innerException = null) : IOException(message, innerException)
{
    public HubFailure Failure { get; } = failure;
}
