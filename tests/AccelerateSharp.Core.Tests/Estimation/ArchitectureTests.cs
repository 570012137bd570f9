using System.Text;
using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Architectures;

namespace AccelerateSharp.Core.Tests.Estimation;

public sealed class ArchitectureTests
{
    /// <summary>The counts that PyTorch reports for the published models.</summary>
    [Theory]
    [InlineData(Configs.Llama38B, 8_030_261_248)]
    [InlineData(Configs.Mistral7B, 7_241_732_096)]
    [InlineData(Configs.Qwen205B, 494_032_768)]
    [InlineData(Configs.Qwen27B, 7_615_616_512)]
    [InlineData(Configs.Qwen306B, 596_049_920)]
    [InlineData(Configs.Gpt2, 124_439_808)]
    public void A_language_model_has_as_many_parameters_as_published(string config, long count) => Assert.Equal(count, Derive(config).ParameterCount);

    [Theory]
    [InlineData(Configs.BertBaseCased, 108_310_272)]
    [InlineData(Configs.RobertaBase, 124_645_632)]
    [InlineData(Configs.VitBase, 86_389_248)]
    [InlineData(Configs.Llama38B, 7_504_924_672)]
    public void A_base_model_has_as_many_parameters_as_published(string config, long count) =>
        Assert.Equal(count, Derive(config).Tensors.Where(tensor => tensor.Role == TensorRole.Parameter).Sum(tensor => tensor.ElementCount));

    [Fact]
    public void Every_name_is_there_once()
    {
        foreach (var config in (string[])[Configs.Llama38B, Configs.Qwen306B, Configs.Gpt2, Configs.BertBaseCased, Configs.VitBase])
        {
            var names = Derive(config).Tensors.Select(tensor => tensor.Name).ToList();
            Assert.Equal(names.Count, names.Distinct().Count());
        }
        Assert.Contains("model.layers.31.mlp.down_proj.weight", Derive(Configs.Llama38B).Tensors.Select(tensor => tensor.Name));
    }

    [Fact]
    public void Tied_embeddings_count_once()
    {
        var tied = Derive(Configs.Llama38B.Replace("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true", StringComparison.Ordinal));
        Assert.Equal(8_030_261_248 - 128_256L * 4096, tied.ParameterCount);
    }

    [Theory]
    [InlineData("""{"model_type":"llama"}""", "'hidden_size' is missing")]
    [InlineData("""{"model_type":"gpt2","n_embd":-1}""", "'n_embd' is -1")]
    [InlineData("""{"model_type":"gpt2","n_embd":"x"}""", "'n_embd' is \"x\"")]
    [InlineData("""[]""", "JSON object")]
    [InlineData("""{""", "no valid JSON")]
    public void What_a_config_lacks_is_named(string config, string expected) =>
        Assert.Contains(expected, Assert.Throws<EstimationException>(() => Derive(config)).Message, StringComparison.Ordinal);

    internal static ModelInventory Derive(string config) =>
        KnownArchitectures.Derive(ModelConfig.Parse(Encoding.UTF8.GetBytes(config), "config.json"))!;
}
