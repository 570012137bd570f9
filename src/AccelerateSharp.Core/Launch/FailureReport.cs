using System.Text;

namespace AccelerateSharp.Launch;

/// <summary>The last words of a worker, so that the launcher can tell the cause of a failure from what it led to.</summary>
/// <param name="IsConsequence">Whether the worker failed only because another one did.</param>
/// <param name="Message">The worker's own error, in one line.</param>
internal sealed record FailureReport(bool IsConsequence, string Message)
{
    /// <summary>The longest message that is passed on, in characters.</summary>
    public const int MaxMessageLength = 4096;

    private const string Consequence = "consequence", Cause = "cause";

    /// <summary>Describes an exception that ends a worker.</summary>
    /// <param name="exception">The exception.</param>
    /// <param name="peerIsLost">Whether another worker was known to be lost by then.</param>
    public static FailureReport Of(Exception exception, bool peerIsLost)
    {
        var isConsequence = peerIsLost;
        for (var inner = exception; inner is not null && !isConsequence; inner = inner.InnerException) isConsequence = inner is IPeerFailure;
        var message = $"{exception.GetType().FullName}: {exception.Message}".ReplaceLineEndings(" ");
        return new FailureReport(isConsequence, message.Length <= MaxMessageLength ? message : message[..MaxMessageLength]);
    }

    public byte[] ToBytes() => Encoding.UTF8.GetBytes($"{(IsConsequence ? Consequence : Cause)}\n{Message}");

    public static FailureReport Parse(ReadOnlySpan<byte> bytes)
    {
        var lines = Encoding.UTF8.GetString(bytes).Split('\n', 2);
        return new FailureReport(lines[0] == Consequence, lines.Length > 1 ? lines[1].ReplaceLineEndings(" ") : "");
    }
}
