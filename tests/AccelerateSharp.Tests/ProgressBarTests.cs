namespace AccelerateSharp.Tests;

public sealed class ProgressBarTests
{
    [Fact]
    public void A_terminal_sees_one_line_that_is_rewritten_and_ended()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var asked = 0;
        using (var progress = new ProgressBar(4, "steps", null, output, isTerminal: true))
        {
            for (var i = 0; i < 4; i++) progress.Advance(() => $"loss {++asked}");
            Assert.Equal(4, progress.Done);
        }
        var lines = output.ToString().Split('\r');
        // The first and the last; those between came within half a second, and nobody asked for their loss.
        Assert.Equal(3, lines.Length);
        Assert.Equal(2, asked);
        Assert.StartsWith(" 25 % [#####...............] 1/4 steps, ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("100 % [####################] 4/4 steps, ", lines[1], StringComparison.Ordinal);
        Assert.Contains("0:00 left  loss 2", lines[1], StringComparison.Ordinal);
        Assert.Equal("\n", lines[2]);
    }

    [Fact]
    public void Without_a_terminal_there_is_nothing_unless_lines_are_asked_for()
    {
        using var output = new StringWriter { NewLine = "\n" };
        using (var silent = new ProgressBar(2, "steps", null, output, isTerminal: false))
        {
            silent.Advance(() => throw new InvalidOperationException("nobody reads this"));
            silent.Advance(by: 1);
        }
        Assert.Equal("", output.ToString());

        using (var plain = new ProgressBar(0, "tokens", TimeSpan.Zero, output, isTerminal: false)) plain.Advance(() => "here", by: 1500);
        Assert.Matches(@"^1,500 tokens, [\d,.]+/s  here\n$", output.ToString());
    }
}
