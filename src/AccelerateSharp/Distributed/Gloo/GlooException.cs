namespace AccelerateSharp.Distributed.Gloo;

/// <summary>A call into the native library failed; the backend turns it into the exception that users see.</summary>
internal sealed class GlooException(int status, string message, int peer) : Exception(message)
{
    /// <summary>One of the ASG_ constants.</summary>
    public int Status { get; } = status;

    /// <summary>The peer that caused it, as rank within the group; -1 where that is not one.</summary>
    public int Peer { get; } = peer;
}
