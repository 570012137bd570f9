using System.Text;
using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Architectures;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>Models of the Hub that are larger than what they run on.</summary>
public sealed class BigModelTests : IDisposable
{
    private const string Llama3 = """
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
         "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": false}
        """;

    private const string Gpt2 = """
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
        """;

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void Twelve_layers_give_the_same_logits_and_texts_whole_and_on_every_budget(string type)
    {
        manual_seed(5);
        PretrainedConfig config = type == "gpt2"
            ? new Gpt2Config { VocabSize = 97, NEmbd = 32, NLayer = 12, NHead = 4, NPositions = 32, InitializerRange = 0.3 }
            : new LlamaConfig { VocabSize = 97, HiddenSize = 32, IntermediateSize = 64, NumHiddenLayers = 12, NumAttentionHeads = 4, NumKeyValueHeads = 2, InitializerRange = 0.3 };
        using var folder = new TemporaryFolder();
        using var whole = (CausalLanguageModel)PretrainedModel.FromConfig(config);
        whole.eval();
        whole.SavePretrained(folder.Path);
        var tokens = randint(0, 97, [2, 6]);
        using var noGrad = no_grad();
        var (expected, text) = (whole.call(tokens).Logits, whole.Generate(tokens, new() { MaxNewTokens = 5 }));
        var total = BigModeling.ComputeModuleSizes(whole)[""];
        var disks = new HashSet<int>();
        foreach (var share in new[] { 0.0, 0.3, 0.6, 2.0 })
        {
            using var model = BigModeling.InitEmptyWeights(() => (CausalLanguageModel)PretrainedModel.FromConfig(config));
            model.eval();
            BigModeling.LoadCheckpointAndDispatch(model, folder.Path, maxMemory: new MaxMemory { ["cpu"] = (long)(share * total) }, offloadFolder: Path.Combine(folder.Path, "offload"), strict: true);
            disks.Add(BigModeling.DeviceMapOf(model)!.Count(entry => entry.Value == Placement.Disk));
            for (var pass = 0; pass < 2; pass++) Assert.True(expected.equal(model.call(tokens).Logits).all().item<bool>(), $"{share}");
            Assert.True(text.equal(model.Generate(tokens, new() { MaxNewTokens = 5 })).all().item<bool>(), $"{share}");
        }
        Assert.True(disks.Count > 2 && disks.Contains(0));
    }

    [Fact]
    public void A_checkpoint_of_the_base_model_is_loaded_by_a_device_map()
    {
        using var folder = new TemporaryFolder();
        using var whole = (CausalLanguageModel)PretrainedModel.FromConfig(new Gpt2Config { VocabSize = 97, NEmbd = 32, NLayer = 3, NHead = 4, NPositions = 32 });
        whole.eval();
        SafetensorsCheckpoint.Save(whole.state_dict().Where(entry => entry.Key.StartsWith("transformer.", StringComparison.Ordinal))
            .Select(entry => KeyValuePair.Create(entry.Key["transformer.".Length..], entry.Value)), folder.Path);
        using var model = BigModeling.InitEmptyWeights(() => (CausalLanguageModel)PretrainedModel.FromConfig(whole.Config));
        model.eval();
        BigModeling.LoadCheckpointAndDispatch(model, folder.Path, DeviceMap.All("disk"), Path.Combine(folder.Path, "offload"), strict: true);
        var tokens = randint(0, 97, [1, 4]);
        using var noGrad = no_grad();
        Assert.True(whole.call(tokens).Logits.equal(model.call(tokens).Logits).all().item<bool>());
    }

    [Theory]
    [InlineData(Llama3)]
    [InlineData(Gpt2)]
    public void The_estimate_from_a_configuration_and_the_device_map_agree_on_every_size(string config)
    {
        using var folder = new TemporaryFolder().Write("config.json", config);
        using var model = BigModeling.InitEmptyWeights(() => PretrainedModel.FromConfig(folder.Path));
        var estimated = KnownArchitectures.Derive(ModelConfig.Parse(Encoding.UTF8.GetBytes(config), "config.json"))!;
        var sizes = BigModeling.ComputeModuleSizes(model);
        foreach (var tensor in estimated.Parameters) Assert.Equal((tensor.Name, tensor.ByteCount), (tensor.Name, sizes.GetValueOrDefault(NameOf(tensor.Name))));
        Assert.Equal(estimated.ParameterCount * 4, sizes[""]);
        var (layer, bytes) = ReferenceEstimate.LargestLayer(estimated with { Tensors = [.. estimated.Parameters] });
        var largest = BigModeling.CalculateMaximumSizes(model);
        Assert.Equal((bytes, sizes[""]), (largest.LargestLayer, largest.Total));
        Assert.Contains(NameOf(layer), largest.LargestLayerNames);

        // The estimator names the tensors of the base model as a checkpoint of it does.
        string NameOf(string name) => sizes.ContainsKey(name) ? name : $"transformer.{name}";
    }
}
