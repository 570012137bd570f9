using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class EncoderTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _folder.Dispose();
        _scope.Dispose();
    }

    public static TheoryData<string> Models => ["BertModel", "BertForSequenceClassification", "BertForMaskedLM", "RobertaModel", "RobertaForSequenceClassification", "RobertaForMaskedLM", "ViTForImageClassification"];

    private static BertConfig Text(string type = "bert") => new()
    {
        ModelType = type,
        VocabSize = 53,
        HiddenSize = 16,
        IntermediateSize = 24,
        NumHiddenLayers = 2,
        NumAttentionHeads = 2,
        MaxPositionEmbeddings = 20,
        TypeVocabSize = type == "bert" ? 2 : 1,
        NumLabels = 3,
        InitializerRange = 0.3,
    };

    private static ViTConfig Image() => new()
    {
        ImageSize = 12,
        PatchSize = 4,
        NumChannels = 1,
        HiddenSize = 16,
        IntermediateSize = 24,
        NumHiddenLayers = 2,
        NumAttentionHeads = 2,
        NumLabels = 3,
        InitializerRange = 0.3,
    };

    internal static PretrainedModel Build(string architecture)
    {
        manual_seed(5);
        PretrainedConfig config = architecture.StartsWith("ViT", StringComparison.Ordinal) ? Image() : Text(architecture.StartsWith("Bert", StringComparison.Ordinal) ? "bert" : "roberta");
        var model = PretrainedModel.FromConfig(config with { Architectures = [architecture] });
        model.eval();
        return model;
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void A_model_changes_its_dtype(string architecture)
    {
        using var model = Build(architecture);
        model.to(ScalarType.BFloat16);
        Assert.All(model.parameters(), parameter => Assert.Equal(ScalarType.BFloat16, parameter.dtype));
    }

    internal static ModelInputs Inputs(PretrainedModel model)
    {
        manual_seed(6);
        if (model is ViTForImageClassification) return new() { PixelValues = rand(2, 1, 12, 12) };
        var tokens = randint(2, 53, [2, 7]);
        var mask = ones_like(tokens);
        tokens[1, 4..].fill_(model.Config is BertConfig { ModelType: "roberta" } ? 1 : 0);
        mask[1, 4..].zero_();
        return new() { InputIds = tokens, AttentionMask = mask };
    }

    private static bool Same(Tensor a, Tensor b) => a.shape.SequenceEqual(b.shape) && (a == b).all().item<bool>();

    internal static Tensor Result(PretrainedModel model, ModelInputs inputs) =>
        model is TextEncoderModel ? model.call(inputs).LastHiddenState : model.call(inputs).Logits;

    private static string Layer(int i, string extra) => string.Concat(
        new[] { "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm" }
            .Select(name => $"encoder.layer.{i}.{name}.weight encoder.layer.{i}.{name}.bias ")) + extra;

    [Fact]
    public void Parameters_have_the_names_of_the_Hub()
    {
        var bert = "embeddings.word_embeddings.weight embeddings.position_embeddings.weight embeddings.token_type_embeddings.weight embeddings.LayerNorm.weight embeddings.LayerNorm.bias "
            + Layer(0, "") + Layer(1, "pooler.dense.weight pooler.dense.bias");
        AssertNames(bert, "", "BertModel", "");
        AssertNames(bert, "", "RobertaModel", "");
        AssertNames(bert, "bert.", "BertForSequenceClassification", "classifier.weight classifier.bias");
        var withoutPooler = bert.Replace("pooler.dense.weight pooler.dense.bias", "", StringComparison.Ordinal);
        AssertNames(withoutPooler, "bert.", "BertForMaskedLM",
            "cls.predictions.bias cls.predictions.transform.dense.weight cls.predictions.transform.dense.bias cls.predictions.transform.LayerNorm.weight cls.predictions.transform.LayerNorm.bias");
        AssertNames(withoutPooler, "roberta.", "RobertaForSequenceClassification", "classifier.dense.weight classifier.dense.bias classifier.out_proj.weight classifier.out_proj.bias");
        AssertNames(withoutPooler, "roberta.", "RobertaForMaskedLM", "lm_head.bias lm_head.dense.weight lm_head.dense.bias lm_head.layer_norm.weight lm_head.layer_norm.bias");

        var vit = "embeddings.cls_token embeddings.position_embeddings embeddings.patch_embeddings.projection.weight embeddings.patch_embeddings.projection.bias layernorm.weight layernorm.bias "
            + string.Concat(Enumerable.Range(0, 2).SelectMany(i =>
                new[] { "attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after" }
                    .Select(name => $"encoder.layer.{i}.{name}.weight encoder.layer.{i}.{name}.bias ")));
        AssertNames(vit, "vit.", "ViTForImageClassification", "classifier.weight classifier.bias");

        static void AssertNames(string below, string prefix, string architecture, string head)
        {
            using var model = Build(architecture);
            var expected = below.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(name => prefix + name).Concat(head.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            Assert.Equal(expected.Order(StringComparer.Ordinal), model.state_dict().Keys.Order(StringComparer.Ordinal));
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Saved_and_loaded_a_model_computes_the_same(string architecture)
    {
        using var model = Build(architecture);
        var inputs = Inputs(model);
        using var empty = BigModeling.InitEmptyWeights(() => PretrainedModel.FromConfig(model.Config));
        Assert.All(empty.parameters(), parameter => Assert.Equal(DeviceType.META, parameter.device_type));

        model.SavePretrained(_folder.Path);
        using var loaded = PretrainedModel.FromPretrained(_folder.Path);
        Assert.IsType(model.GetType(), loaded);
        Assert.True(Same(Result(model, inputs), Result(loaded, inputs)));
        Assert.Equal(model.LayerClassNames, loaded.LayerClassNames);
        Assert.Equal(2, model.named_modules().Count(module => model.LayerClassNames.Contains(module.module.GetName())));
    }

    [Theory]
    [InlineData("BertForSequenceClassification")]
    [InlineData("RobertaForSequenceClassification")]
    public void Padding_changes_nothing(string architecture)
    {
        using var model = Build(architecture);
        var inputs = Inputs(model);
        var padded = model.call(inputs).Logits[1];
        var alone = model.call(new() { InputIds = inputs.InputIds![1..2, ..4] }).Logits[0];
        Assert.True(padded.allclose(alone, rtol: 1e-5, atol: 1e-6));
        // What is looked at counts: without the mask the padding is a text.
        Assert.False(model.call(new() { InputIds = inputs.InputIds }).Logits[1].allclose(alone, rtol: 1e-5, atol: 1e-6));
    }

    [Fact]
    public void Roberta_counts_positions_behind_the_padding()
    {
        using var model = Build("RobertaModel");
        var tokens = tensor(new long[] { 1, 1, 7, 8, 9 }).unsqueeze(0);
        var counted = model.call(new() { InputIds = tokens }).LastHiddenState;
        Assert.True(Same(counted, model.call(new() { InputIds = tokens, PositionIds = tensor(new long[] { 1, 1, 2, 3, 4 }).unsqueeze(0) }).LastHiddenState));
    }

    [Fact]
    public void Types_of_tokens_and_the_pooler_count()
    {
        using var model = Build("BertModel");
        var inputs = Inputs(model);
        var output = model.call(inputs);
        Assert.Equal([2, 16], output.PoolerOutput.shape);
        Assert.False(Same(output.PoolerOutput, model.call(inputs with { TokenTypeIds = ones_like(inputs.InputIds!) }).PoolerOutput));
        Assert.True(Same(output.PoolerOutput, model.call(inputs with { TokenTypeIds = zeros_like(inputs.InputIds!) }).PoolerOutput));
    }

    [Fact]
    public void A_classifier_is_put_onto_another_models_body()
    {
        using var masked = Build("BertForMaskedLM");
        masked.SavePretrained(_folder.Path);
        using var classifier = AutoModelForSequenceClassification.FromPretrained(_folder.Path, numLabels: 4);
        Assert.IsType<BertForSequenceClassification>(classifier);
        Assert.Equal([2, 4], classifier.call(Inputs(classifier)).Logits.shape);
        Assert.True(Same(classifier.get_parameter("bert.encoder.layer.1.output.dense.weight")!, masked.get_parameter("bert.encoder.layer.1.output.dense.weight")!));
        using var bare = Build("RobertaModel");
        bare.SavePretrained(_folder.Path);
        using var roberta = AutoModelForSequenceClassification.FromPretrained(_folder.Path);
        Assert.True(Same(roberta.get_parameter("roberta.embeddings.word_embeddings.weight")!, bare.get_parameter("embeddings.word_embeddings.weight")!));
        Assert.Equal(3, ((BertConfig)roberta.Config).NumLabels);
    }

    [Fact]
    public void Norms_may_be_called_as_TensorFlow_called_them()
    {
        using var model = Build("BertForSequenceClassification");
        var renamed = model.state_dict().ToDictionary(e => e.Key.Replace("LayerNorm.weight", "LayerNorm.gamma", StringComparison.Ordinal).Replace("LayerNorm.bias", "LayerNorm.beta", StringComparison.Ordinal), e => e.Value);
        using (no_grad()) renamed["bert.embeddings.LayerNorm.gamma"].fill_(1.5);
        model.SavePretrained(_folder.Path, renamed);
        using var loaded = PretrainedModel.FromPretrained(_folder.Path);
        Assert.True(Same(Result(model, Inputs(model)), Result(loaded, Inputs(model))));
        Assert.Equal(1.5f, loaded.get_parameter("bert.embeddings.LayerNorm.weight")![0].item<float>());
    }

    [Fact]
    public void The_loss_is_the_one_for_the_kind_of_labels()
    {
        using var model = Build("BertForSequenceClassification");
        var inputs = Inputs(model);
        var logits = model.call(inputs).Logits;
        var single = model.call(inputs with { Labels = tensor(new long[] { 2, 0 }) });
        Assert.True(single.Loss.allclose(nn.functional.cross_entropy(logits, tensor(new long[] { 2, 0 }))));
        Assert.True(Same(single.Logits, logits));
        var several = rand(2, 3);
        Assert.True(model.call(inputs with { Labels = several }).Loss.allclose(nn.functional.binary_cross_entropy_with_logits(logits, several)));

        using var regression = PretrainedModel.FromConfig(Text() with { NumLabels = 1, Architectures = ["BertForSequenceClassification"] });
        regression.eval();
        var targets = tensor(new[] { 0.5f, -1f });
        Assert.True(regression.call(inputs with { Labels = targets }).Loss.allclose((regression.call(inputs).Logits.squeeze(1) - targets).square().mean()));
    }

    [Fact]
    public void A_projection_that_is_not_tied_is_a_parameter_of_its_own()
    {
        using var tied = PretrainedModel.FromConfig(Text() with { Architectures = ["BertForMaskedLM"] });
        using var free = PretrainedModel.FromConfig(Text() with { Architectures = ["BertForMaskedLM"], TieWordEmbeddings = false });
        Assert.Equal(["cls.predictions.decoder.weight"], free.state_dict().Keys.Except(tied.state_dict().Keys));
        Assert.Equal(tied.parameters().Count() + 1, free.parameters().Count());
    }

    [Fact]
    public void A_masked_model_learns_only_what_was_masked()
    {
        using var model = Build("BertForMaskedLM");
        var inputs = Inputs(model);
        var labels = full_like(inputs.InputIds!, -100);
        labels[0, 2] = 11;
        labels[1, 1] = 12;
        var logits = model.call(inputs).Logits;
        var expected = nn.functional.cross_entropy(stack([logits[0, 2], logits[1, 1]]), tensor(new long[] { 11, 12 }));
        Assert.True(model.call(inputs with { Labels = labels }).Loss.allclose(expected, rtol: 1e-5));
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        using var bert = Build("BertForSequenceClassification");
        using var vit = Build("ViTForImageClassification");
        Assert.Contains("20 positions; 21", Message(() => bert.call(new() { InputIds = ones(1, 21, dtype: int64) })), StringComparison.Ordinal);
        Assert.Contains("AttentionMask is [1, 3], InputIds [1, 4]", Message(() => bert.call(new() { InputIds = ones(1, 4, dtype: int64), AttentionMask = ones(1, 3) })), StringComparison.Ordinal);
        Assert.Contains("InputIds", Message(() => bert.call(new ModelInputs())), StringComparison.Ordinal);
        Assert.Contains("[2, 3, 12, 12]; this model takes [batch, 1, 12, 12]", Message(() => vit.call(new() { PixelValues = rand(2, 3, 12, 12) })), StringComparison.Ordinal);
        Assert.Contains("num_attention_heads", Message(() => new BertModel(Text() with { NumAttentionHeads = 3 })), StringComparison.Ordinal);
        Assert.Contains("hidden_act", Message(() => new BertModel(Text() with { HiddenAct = "swish" })), StringComparison.Ordinal);
        Assert.Contains("'bert', not 'roberta'", Message(() => new BertModel(Text("roberta"))), StringComparison.Ordinal);
        Assert.Contains("patch_size", Message(() => new ViTForImageClassification(Image() with { PatchSize = 5 })), StringComparison.Ordinal);
        Assert.Contains("'BertForTokenClassification'", Assert.Throws<NotSupportedException>(() => PretrainedModel.FromConfig(Text() with { Architectures = ["BertForTokenClassification"] })).Message, StringComparison.Ordinal);

        static string Message(Func<object> action) => Assert.ThrowsAny<ArgumentException>(action).Message;
    }
}
