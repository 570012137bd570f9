namespace AccelerateSharp.Models.Tests;

public sealed class ConfigTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private PretrainedConfig Read(string json)
    {
        File.WriteAllText(Path.Combine(_folder.Path, "config.json"), json);
        return PretrainedConfig.FromFile(_folder.Path);
    }

    [Fact]
    public void What_a_file_does_not_mention_keeps_its_default()
    {
        Assert.Equal(new LlamaConfig(), Read("""{ "model_type": "llama" }"""));
        Assert.Equal(new Gpt2Config(), Read("""{ "model_type": "gpt2" }"""));
        Assert.Equal(new BertConfig(), Read("""{ "model_type": "bert" }"""));
        Assert.Equal(new ViTConfig(), Read("""{ "model_type": "vit" }"""));
        Assert.Equal(4096, ((LlamaConfig)Read("""{ "model_type": "mistral" }""")).SlidingWindow);
        Assert.Null(((LlamaConfig)Read("""{ "model_type": "mistral", "sliding_window": null }""")).SlidingWindow);
    }

    [Fact]
    public void Both_ways_to_write_rotary_scaling_and_end_tokens_are_read()
    {
        var old = (LlamaConfig)Read("""{ "model_type": "llama", "eos_token_id": [1, 2], "rope_theta": 500000, "rope_scaling": { "type": "linear", "factor": 4 }, "unknown": { "a": 1 } }""");
        Assert.Equal(("linear", 500_000, 4), (old.Rope.Kind, old.Theta, old.Rope.Factor));
        Assert.Equal([1L, 2], old.EosTokenId);
        Assert.Contains("unknown", old.Other!.Keys);
        var now = (LlamaConfig)Read("""{ "model_type": "llama", "eos_token_id": 7, "rope_parameters": { "rope_type": "linear", "rope_theta": 500000, "factor": 4 } }""");
        Assert.Equal(("linear", 500_000, 4), (now.Rope.Kind, now.Theta, now.Rope.Factor));
        Assert.Equal([7L], now.EosTokenId);
    }

    [Theory]
    [InlineData("""{ "hidden_size": 8 }""", "'model_type' is missing")]
    [InlineData("""{ "model_type": "llama", "hidden_size": "wide" }""", "hidden_size")]
    [InlineData("""{ "model_type": "mamba" }""", "'mamba' are not known")]
    public void A_file_that_cannot_be_used_is_explained(string json, string expected) => Assert.Contains(expected, Assert.ThrowsAny<Exception>(() => Read(json)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""{ "model_type": "llama", "num_attention_heads": 3, "num_key_value_heads": 2 }""", "no multiple of num_key_value_heads")]
    [InlineData("""{ "model_type": "llama", "hidden_act": "gelu" }""", "only 'silu'")]
    [InlineData("""{ "model_type": "llama", "rope_scaling": { "rope_type": "longrope" } }""", "'longrope'")]
    [InlineData("""{ "model_type": "gpt2", "n_head": 5 }""", "no multiple of n_head")]
    public void A_model_that_cannot_be_built_is_explained(string json, string expected) =>
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => BigModeling.InitEmptyWeights(() => PretrainedModel.FromConfig(Read(json)))).Message, StringComparison.Ordinal);
}
