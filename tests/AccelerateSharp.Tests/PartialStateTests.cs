namespace AccelerateSharp.Tests;

[Collection("process state")]
public sealed class PartialStateTests : IDisposable
{
    private readonly PartialState _state = new(cpu: true);

    public void Dispose() => _state.DestroyProcessGroup();

    [Fact]
    public void A_job_of_one_gets_the_whole()
    {
        Assert.Equal([1, 2, 3], _state.SplitBetweenProcesses<int>([1, 2, 3], applyPadding: true));
        Assert.Empty(_state.SplitBetweenProcesses<int>([], applyPadding: true));
    }

    [Fact]
    public void Lists_under_keys_must_have_one_length()
    {
        var error = Assert.Throws<ArgumentException>(() => _state.SplitBetweenProcesses(
            new Dictionary<string, IReadOnlyList<int>> { ["a"] = [1, 2], ["b"] = [1] }));
        Assert.Contains("'a' has 2 items, 'b' has 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void It_prints_who_it_is() =>
        Assert.Equal("Distributed environment: No\nNum processes: 1\nProcess index: 0\nLocal process index: 0\nDevice: cpu", _state.ToString());
}
