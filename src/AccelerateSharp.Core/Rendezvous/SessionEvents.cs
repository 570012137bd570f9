namespace AccelerateSharp.Rendezvous;

/// <summary>The lines that the server sends to a client for as long as both live.</summary>
internal static class SessionEvents
{
    /// <summary>First line: <c>session ID</c>.</summary>
    public const string Welcome = "session";

    /// <summary><c>lost RANK</c>: a rank is gone without a goodbye.</summary>
    public const string Lost = "lost";

    /// <summary><c>failed RANK MESSAGE</c>: a rank is about to end with this error.</summary>
    public const string Failed = "failed";

    /// <summary>The server ends in good order: what follows is no failure.</summary>
    public const string Farewell = "bye";
}
