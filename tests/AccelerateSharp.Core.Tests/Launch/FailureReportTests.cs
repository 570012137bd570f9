using AccelerateSharp.Launch;

namespace AccelerateSharp.Core.Tests.Launch;

public sealed class FailureReportTests
{
    [Fact]
    public void An_error_of_ones_own_is_a_cause()
    {
        var report = FailureReport.Of(new InvalidDataException("two\nlines"), peerIsLost: false);
        Assert.Equal(new FailureReport(IsConsequence: false, "System.IO.InvalidDataException: two lines"), report);
        Assert.Equal(report, FailureReport.Parse(report.ToBytes()));
    }

    [Fact]
    public void What_follows_from_the_failure_of_another_is_a_consequence()
    {
        Assert.True(FailureReport.Of(new InvalidDataException("anything"), peerIsLost: true).IsConsequence);
        Assert.True(FailureReport.Of(new InvalidOperationException("outer", new PeerIsGoneException()), peerIsLost: false).IsConsequence);
        Assert.True(FailureReport.Parse(new FailureReport(IsConsequence: true, "x").ToBytes()).IsConsequence);
    }

    [Fact]
    public void A_long_message_is_cut() =>
        Assert.Equal(FailureReport.MaxMessageLength, FailureReport.Of(new InvalidDataException(new string('x', 9999)), peerIsLost: false).Message.Length);

    private sealed class PeerIsGoneException : Exception, IPeerFailure;
}
