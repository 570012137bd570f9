using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class DecoderTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Families => ["llama", "mistral", "qwen2", "qwen3"];

    internal static LlamaConfig Tiny(string type = "llama") => new()
    {
        ModelType = type,
        VocabSize = 97,
        HiddenSize = 32,
        IntermediateSize = 48,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        HeadDim = type == "qwen3" ? 16 : null,
        MaxPositionEmbeddings = 64,
        SlidingWindow = type == "mistral" ? 5 : null,
        InitializerRange = 0.3,
    };

    private static DecoderForCausalLM Build(LlamaConfig config)
    {
        manual_seed(3);
        var model = (DecoderForCausalLM)PretrainedModel.FromConfig(config);
        model.eval();
        return model;
    }

    internal static double Difference(Tensor a, Tensor b) => ((a - b).abs().max() / b.abs().max()).item<float>();

    [Theory]
    [MemberData(nameof(Families))]
    public void Parameters_have_the_names_and_shapes_of_the_Hub(string type)
    {
        using var model = Build(Tiny(type));
        var names = model.named_parameters().ToDictionary(p => p.name, p => string.Join("x", p.parameter.shape));
        var width = type == "qwen3" ? 16 : 8;
        var expected = new Dictionary<string, string> { ["model.embed_tokens.weight"] = "97x32", ["model.norm.weight"] = "32", ["lm_head.weight"] = "97x32" };
        for (var i = 0; i < 2; i++)
        {
            var layer = $"model.layers.{i}.";
            expected[layer + "self_attn.q_proj.weight"] = $"{4 * width}x32";
            expected[layer + "self_attn.k_proj.weight"] = $"{2 * width}x32";
            expected[layer + "self_attn.v_proj.weight"] = $"{2 * width}x32";
            expected[layer + "self_attn.o_proj.weight"] = $"32x{4 * width}";
            expected[layer + "mlp.gate_proj.weight"] = "48x32";
            expected[layer + "mlp.up_proj.weight"] = "48x32";
            expected[layer + "mlp.down_proj.weight"] = "32x48";
            expected[layer + "input_layernorm.weight"] = "32";
            expected[layer + "post_attention_layernorm.weight"] = "32";
            if (type == "qwen2")
            {
                expected[layer + "self_attn.q_proj.bias"] = "32";
                expected[layer + "self_attn.k_proj.bias"] = "16";
                expected[layer + "self_attn.v_proj.bias"] = "16";
            }
            if (type == "qwen3") expected[layer + "self_attn.q_norm.weight"] = expected[layer + "self_attn.k_norm.weight"] = "16";
        }
        Assert.Equal(expected.OrderBy(p => p.Key, StringComparer.Ordinal), names.OrderBy(p => p.Key, StringComparer.Ordinal));
        Assert.Empty(model.named_buffers());
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_token_depends_on_what_is_before_it_alone_and_within_the_window(string type)
    {
        using var model = Build(Tiny(type));
        using var noGradient = no_grad();
        var tokens = randint(0, 97, [1, 12]);
        var changed = tokens.clone();
        changed[0, 1] = (tokens[0, 1] + 1) % 97;
        var (logits, other) = (model.call(tokens).Logits, model.call(changed).Logits);
        Assert.Equal([1L, 12, 97], logits.shape);
        Assert.Equal(0, Difference(other[0, 0], logits[0, 0]), 6);
        Assert.True(Difference(other[0, 1], logits[0, 1]) > 1e-3);
        // Two layers with a window of 5 reach back 8 positions.
        Assert.Equal(type == "mistral", Difference(other[0, 10..], logits[0, 10..]) < 1e-6);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void With_a_cache_the_logits_are_those_without_one(string type)
    {
        using var model = Build(Tiny(type));
        using var noGradient = no_grad();
        var tokens = randint(0, 97, [2, 12]);
        var expected = model.call(tokens).Logits;
        using var cache = new KeyValueCache(12);
        // All at once, several at once, one by one.
        var parts = new List<Tensor>();
        foreach (var (start, end) in new[] { (0, 4), (4, 7), (7, 8), (8, 9), (9, 10), (10, 11), (11, 12) })
            parts.Add(model.call(new() { InputIds = tokens[.., start..end], Cache = cache }).Logits);
        Assert.Equal(12, cache.Length);
        Assert.True(Difference(cat(parts, 1), expected) < 1e-5);
        var full = Assert.Throws<InvalidOperationException>(() => model.call(new() { InputIds = tokens[.., ..1], Cache = cache }));
        Assert.Contains("holds 12 tokens", full.Message);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Padding_on_the_left_changes_nothing(string type)
    {
        using var model = Build(Tiny(type));
        using var noGradient = no_grad();
        var tokens = randint(0, 97, [1, 7]);
        var padded = cat([full([1, 4], 0, ScalarType.Int64), tokens], 1);
        var mask = cat([zeros([1, 4], ScalarType.Int64), ones([1, 7], ScalarType.Int64)], 1);
        var positions = (mask.cumsum(1) - 1).clamp_min(0);
        var logits = model.call(new() { InputIds = padded, AttentionMask = mask, PositionIds = positions }).Logits;
        Assert.False(logits.isnan().any().item<bool>());
        Assert.True(Difference(logits[.., 4..], model.call(tokens).Logits) < 1e-5);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_model_changes_its_dtype_and_goes_on(string type)
    {
        using var model = Build(Tiny(type) with { TieWordEmbeddings = true });
        model.to(ScalarType.BFloat16);
        Assert.Equal([["lm_head.weight", "model.embed_tokens.weight"]], BigModeling.FindTiedParameters(model));
        var tokens = randint(0, 97, [1, 7]);
        using var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
        loss.backward();
        Assert.Equal(ScalarType.BFloat16, model.call(tokens).Logits.dtype);
        Assert.All(model.parameters(), parameter => Assert.Equal(ScalarType.BFloat16, parameter.grad!.dtype));
    }

    [Fact]
    public void Tied_embeddings_are_one_parameter_and_save_once()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        using var model = Build(Tiny() with { TieWordEmbeddings = true });
        Assert.Equal([["lm_head.weight", "model.embed_tokens.weight"]], BigModeling.FindTiedParameters(model));
        Assert.DoesNotContain(model.named_parameters(), entry => entry.name == "lm_head.weight");
        Assert.Equal(model.named_parameters().Count(), model.parameters().Count());
        Assert.Contains("lm_head.weight", model.state_dict().Keys);
        // An optimizer steps once: by its rate, whatever the gradient.
        using var optimizer = optim.AdamW(model.parameters(), lr: 1e-3, weight_decay: 0);
        var tokens = randint(0, 97, [1, 5]);
        var embedding = model.named_parameters().First(entry => entry.name == "model.embed_tokens.weight").parameter;
        var before = embedding.detach().clone();
        model.call(new() { InputIds = tokens, Labels = tokens }).Loss.backward();
        optimizer.step();
        Assert.InRange((embedding.detach() - before).abs().max().item<float>(), 0.9e-3, 1.01e-3);
        model.SavePretrained(folder);
        using var loaded = PretrainedModel.FromPretrained(folder);
        Assert.Equal([["lm_head.weight", "model.embed_tokens.weight"]], BigModeling.FindTiedParameters(loaded));
        Assert.Equal(0, Difference(loaded.call(tokens).Logits, model.call(tokens).Logits));
        Assert.Equal(((LlamaConfig)model.Config).VocabSize, ((LlamaConfig)loaded.Config).VocabSize);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_model_is_built_without_weights_and_trains_with_them()
    {
        using var empty = BigModeling.InitEmptyWeights(() => new LlamaForCausalLM(new LlamaConfig()));
        Assert.All(empty.parameters(), parameter => Assert.True(parameter.is_meta));
        Assert.Equal(6_738_415_616, empty.parameters().Sum(parameter => parameter.numel()));

        using var model = Build(Tiny());
        model.train();
        var tokens = randint(0, 97, [2, 9]);
        var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
        var logits = model.call(tokens).Logits;
        var expected = nn.functional.cross_entropy(logits[.., ..^1].flatten(0, 1), tokens[.., 1..].flatten());
        Assert.Equal(expected.item<float>(), loss.item<float>(), 1e-5);
        loss.backward();
        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.grad is { } grad && grad.abs().sum().item<float>() > 0, p.name));
    }
}
