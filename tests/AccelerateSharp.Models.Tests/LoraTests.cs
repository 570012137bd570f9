using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class LoraTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static CausalLanguageModel Build(string type = "llama")
    {
        manual_seed(5);
        PretrainedConfig config = type == "gpt2"
            ? new Gpt2Config { VocabSize = 97, NEmbd = 32, NLayer = 2, NHead = 4, NPositions = 32, InitializerRange = 0.3, ResidPdrop = 0, EmbdPdrop = 0, AttnPdrop = 0 }
            : DecoderTests.Tiny(type);
        return (CausalLanguageModel)PretrainedModel.FromConfig(config);
    }

    private static void Train(CausalLanguageModel model, LoraAdapter adapter, Tensor tokens)
    {
        using var optimizer = optim.AdamW(adapter.Parameters, lr: 1e-2);
        for (var i = 0; i < 3; i++)
        {
            optimizer.zero_grad();
            model.call(new() { InputIds = tokens, Labels = tokens }).Loss.backward();
            optimizer.step();
        }
    }

    [Theory]
    [InlineData("llama", false, "q_proj", "down_proj", "lm_head")]
    [InlineData("gpt2", true, "c_attn", "c_fc")]
    public void Trains_alone_saves_in_the_PEFT_format_loads_and_merges(string type, bool transposed, params string[] targets)
    {
        using var model = Build(type);
        var tokens = randint(0, 97, [2, 9]);
        var before = model.call(tokens).Logits;
        model.SavePretrained(Path.Combine(_folder, "base"));
        var names = model.named_parameters().Select(p => p.name).ToList();
        var adapter = LoraAdapter.Attach(model, new() { R = 4, LoraAlpha = 16, UseRslora = transposed, TargetModules = targets });
        Assert.Equal(0, DecoderTests.Difference(model.call(tokens).Logits, before));
        var weights = model.named_parameters().Where(p => names.Contains(p.name)).ToDictionary(p => p.name, p => p.parameter.detach().clone());
        Assert.Equal(names, names.Where(weights.ContainsKey));

        Train(model, adapter, tokens);
        Assert.All(model.named_parameters(), p => Assert.Equal(p.name.Contains("lora_", StringComparison.Ordinal), p.parameter.requires_grad));
        Assert.All(model.named_parameters().Where(p => weights.ContainsKey(p.name)), p => Assert.True(p.parameter.allclose(weights[p.name], 0, 0), p.name));
        var trained = model.call(tokens).Logits;
        Assert.True(DecoderTests.Difference(trained, before) > 1e-2);

        adapter.Save(_folder);
        using (var file = SafetensorsCheckpoint.Open(Path.Combine(_folder, "adapter_model.safetensors")))
        {
            Assert.Equal(2 * adapter.LayerNames.Count, file.Names.Count);
            var name = type == "gpt2" ? "base_model.model.transformer.h.0.attn.c_attn" : "base_model.model.model.layers.0.self_attn.q_proj";
            Assert.Equal([4L, 32], file.Describe(name + ".lora_A.weight").Shape);
            Assert.Equal([type == "gpt2" ? 96L : 32, 4], file.Describe(name + ".lora_B.weight").Shape);
        }
        using (var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder, "adapter_config.json"))))
        {
            Assert.Equal(("LORA", 4, transposed), (json.RootElement.GetProperty("peft_type").GetString(), json.RootElement.GetProperty("r").GetInt32(), json.RootElement.GetProperty("fan_in_fan_out").GetBoolean()));
            Assert.Equal(targets, json.RootElement.GetProperty("target_modules").EnumerateArray().Select(entry => entry.GetString()));
        }

        using var other = (CausalLanguageModel)PretrainedModel.FromPretrained(Path.Combine(_folder, "base"));
        var loaded = LoraAdapter.Load(other, _folder);
        Assert.Equal(0, DecoderTests.Difference(other.call(tokens).Logits, trained));
        loaded.Merge();
        Assert.True(DecoderTests.Difference(other.call(tokens).Logits, trained) < 1e-5);
        loaded.Unmerge();
        Assert.True(DecoderTests.Difference(other.call(tokens).Logits, trained) < 1e-5);
        loaded.Remove();
        Assert.True(DecoderTests.Difference(other.call(tokens).Logits, before) < 1e-5);
        Assert.Equal(names, other.named_parameters().Select(p => p.name));
    }

    [Fact]
    public void A_merged_model_is_saved_without_the_adapter()
    {
        using var model = Build();
        var adapter = LoraAdapter.Attach(model, new() { TargetModules = [LoraConfig.AllLinear] });
        Assert.Equal(2 * 7, adapter.LayerNames.Count);
        var tokens = randint(0, 97, [2, 9]);
        Train(model, adapter, tokens);
        model.eval();
        var expected = model.call(tokens).Logits;
        adapter.Merge();
        model.SavePretrained(_folder);
        using var saved = PretrainedModel.FromPretrained(_folder);
        Assert.True(DecoderTests.Difference(saved.call(tokens).Logits, expected) < 1e-5);
    }

    [Fact]
    public void Works_in_half_precision_and_under_autocast()
    {
        using var model = Build().to(ScalarType.BFloat16);
        var tokens = randint(0, 97, [2, 9]);
        var adapter = LoraAdapter.Attach(model, new() { TargetModules = ["v_proj"], LoraDropout = 0.1 });
        Assert.All(adapter.Parameters, parameter => Assert.Equal(ScalarType.Float32, parameter.dtype));
        Train((CausalLanguageModel)model, adapter, tokens);
        Assert.Equal(ScalarType.BFloat16, model.call(tokens).Logits.dtype);

        using var wide = Build();
        adapter = LoraAdapter.Attach(wide, new() { TargetModules = ["v_proj", "gate_proj"] });
        using (AccelerateSharp.Internal.Interop.Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16))
        {
            wide.call(new() { InputIds = tokens, Labels = tokens }).Loss.backward();
        }
        Assert.All(adapter.Parameters, parameter => Assert.Equal(ScalarType.Float32, parameter.grad!.dtype));
    }

    [Fact]
    public void Mistakes_are_explained_and_leave_the_model_as_it_was()
    {
        using var model = Build();
        var names = model.named_parameters().Select(p => p.name).ToList();
        void Fails<T>(string expected, Action action) where T : Exception
        {
            Assert.Contains(expected, Assert.Throws<T>(action).Message, StringComparison.Ordinal);
            Assert.Equal(names, model.named_parameters().Select(p => p.name));
        }
        Fails<ArgumentException>("Its linear layers are q_proj", () => LoraAdapter.Attach(model, new() { TargetModules = ["query"] }));
        Fails<ArgumentException>("'model.norm' is a RmsNorm", () => LoraAdapter.Attach(model, new() { TargetModules = ["q_proj", "model.norm"] }));
        Fails<ArgumentException>("bias is 'all'", () => LoraAdapter.Attach(model, new() { TargetModules = ["q_proj"], Bias = "all" }));
        Fails<FileNotFoundException>("adapter_config.json", () => LoraAdapter.Load(model, _folder));

        var adapter = LoraAdapter.Attach(model, new() { R = 2, TargetModules = ["q_proj"] });
        Assert.Contains("has an adapter already", Assert.Throws<InvalidOperationException>(() => LoraAdapter.Attach(model, new() { TargetModules = ["q_proj"] })).Message);
        adapter.Save(_folder);
        adapter.Remove();
        var config = Path.Combine(_folder, "adapter_config.json");
        var text = File.ReadAllText(config);
        File.WriteAllText(config, text.Replace("\"q_proj\"", "\"q_proj\", \"k_proj\"", StringComparison.Ordinal));
        Fails<InvalidDataException>("lacks 'base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight'", () => LoraAdapter.Load(model, _folder));
        File.WriteAllText(config, text.Replace("\"r\": 2", "\"r\": 3", StringComparison.Ordinal));
        Fails<InvalidDataException>("this model needs [3, 32]", () => LoraAdapter.Load(model, _folder));
        File.WriteAllText(config, text.Replace("\"r\": 2", "\"r\": 2, \"use_dora\": true", StringComparison.Ordinal));
        Fails<ArgumentException>("use_dora is set", () => LoraAdapter.Load(model, _folder));
    }

    [Fact]
    public void A_file_may_name_the_layers_by_a_pattern()
    {
        using var model = Build();
        var adapter = LoraAdapter.Attach(model, new() { TargetModules = ["q_proj"] });
        adapter.Save(_folder);
        adapter.Remove();
        var config = Path.Combine(_folder, "adapter_config.json");
        var text = File.ReadAllText(config);
        var start = text.IndexOf('[', StringComparison.Ordinal);
        var end = text.IndexOf(']', StringComparison.Ordinal) + 1;
        text = text[..start] + """
            ".*\\.self_attn\\.q_proj"
            """ + text[end..];
        File.WriteAllText(config, text);
        Assert.Equal(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"], LoraAdapter.Load(model, _folder).LayerNames);
    }
}
