namespace AccelerateSharp.Core.Tests;

public class SmokeTests
{
    [Fact]
    public void It_builds() => Assert.True(true);
}
