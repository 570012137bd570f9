using AccelerateSharp.Hub;

namespace AccelerateSharp.Core.Tests.Hub;

public sealed class HubOptionsTests
{
    [Fact]
    public void The_variables_of_the_hubs_clients_are_read()
    {
        using var folder = new TemporaryFolder();
        folder.Write("token", "hf_file\n"u8.ToArray());
        var options = Read(("HF_HOME", folder.Path), ("HF_ENDPOINT", "https://hub.example/mirror"), ("HF_HUB_OFFLINE", "yes"));
        Assert.Equal(("https://hub.example/mirror/", Path.Combine(folder.Path, "hub"), "hf_file", true),
            (options.Endpoint.ToString(), options.CacheFolder, options.Token, options.Offline));
        options = Read(("HF_HOME", folder.Path), ("HF_TOKEN", "hf_variable"), ("HF_HUB_CACHE", Path.Combine(folder.Path, "x")));
        Assert.Equal(("https://huggingface.co/", Path.Combine(folder.Path, "x"), "hf_variable", false),
            (options.Endpoint.ToString(), options.CacheFolder, options.Token, options.Offline));
        options = Read(("XDG_CACHE_HOME", folder.Path));
        Assert.Equal(Path.Combine(folder.Path, "huggingface", "hub"), options.CacheFolder);
        Assert.Null(options.Token);
        Assert.Equal(HubFailure.Settings, Assert.Throws<HubException>(() => Read(("HF_ENDPOINT", "ftp://x"))).Failure);
    }

    [Theory]
    [InlineData("bert-base-cased", true)]
    [InlineData("meta-llama/Meta-Llama-3-8B", true)]
    [InlineData("a/b/c", false)]
    [InlineData("../b", false)]
    [InlineData("a/..", false)]
    [InlineData("a/b\n", false)]
    [InlineData("a b", false)]
    [InlineData("", false)]
    public void What_a_model_may_be_called(string id, bool isOne) => Assert.Equal(isOne, HubNames.IsModelId(id));

    private static HubOptions Read(params (string Name, string Value)[] variables) =>
        HubOptions.FromEnvironment(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}
