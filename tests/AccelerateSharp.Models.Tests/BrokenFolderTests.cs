using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>Folders as users have them by mistake: the error names the file, the key and what to do.</summary>
public sealed class BrokenFolderTests : IDisposable
{
    private static readonly BertConfig _config = new()
    {
        VocabSize = 20,
        HiddenSize = 8,
        IntermediateSize = 12,
        NumHiddenLayers = 1,
        NumAttentionHeads = 2,
        MaxPositionEmbeddings = 10,
        NumLabels = 3,
    };

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly TemporaryFolder _folder = new();
    private readonly BertForSequenceClassification _model = new(_config);

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
        _scope.Dispose();
    }

    private string Weights => Path.Combine(_folder.Path, "model.safetensors");

    private TException Loads<TException>(params string[] named) where TException : Exception
    {
        var exception = Assert.Throws<TException>(() => PretrainedModel.FromPretrained(_folder.Path));
        foreach (var text in named.Append(_folder.Path)) Assert.Contains(text, exception.Message, StringComparison.Ordinal);
        return exception;
    }

    private void Save(Action<Dictionary<string, Tensor>> change)
    {
        var weights = new Dictionary<string, Tensor>(_model.state_dict());
        change(weights);
        _model.SavePretrained(_folder.Path);
        SafetensorsCheckpoint.Save(weights, _folder.Path);
    }

    [Fact]
    public void A_name_of_the_Hub_is_no_folder() =>
        Assert.Contains("downloaded first", Assert.Throws<FileNotFoundException>(() => PretrainedModel.FromPretrained("bert-base-uncased")).Message, StringComparison.Ordinal);

    [Fact]
    public void What_the_configuration_lacks_or_misspells_is_named()
    {
        Loads<FileNotFoundException>("holds no config.json");
        _folder.Write("config.json", "{ \"hidden_size\": 8 }");
        Loads<InvalidDataException>("config.json", "'model_type' is missing");
        _folder.Write("config.json", "{ \"model_type\": \"mamba\" }");
        Loads<NotSupportedException>("'mamba'", "bert", "llama");
        _folder.Write("config.json", "{ \"model_type\": \"bert\", \"hidden_size\": \"wide\" }");
        Loads<InvalidDataException>("config.json", "hidden_size");
        _folder.Write("config.json", "{ \"model_type\": ");
        Loads<InvalidDataException>("config.json");
    }

    [Fact]
    public void Weights_that_are_missing_cut_off_or_pickled_are_named()
    {
        _model.SavePretrained(_folder.Path);
        var bytes = File.ReadAllBytes(Weights);
        File.WriteAllBytes(Weights, bytes[..^40]);
        Assert.Contains(Weights, Assert.ThrowsAny<IOException>(() => PretrainedModel.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        File.WriteAllBytes(Weights, bytes[..5]);
        Assert.Contains(Weights, Assert.ThrowsAny<IOException>(() => PretrainedModel.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        File.Delete(Weights);
        Loads<FileNotFoundException>("no safetensors weights");
        _folder.Write("pytorch_model.bin", "");
        Loads<FileNotFoundException>("pytorch_model.bin", "pickle");
    }

    [Fact]
    public void Tensors_of_another_shape_or_kind_are_named()
    {
        Save(weights => weights["classifier.weight"] = zeros(5, 8));
        Loads<InvalidDataException>("'classifier.weight'", "[5, 8]", "[3, 8]");
        Save(weights => weights["classifier.weight"] = zeros(3, 8, dtype: int8));
        Loads<NotSupportedException>("model.safetensors", "'classifier.weight'", "Int8", "quantized");
        Save(weights => weights["bert.pooler.dense.bias"] = zeros(8, dtype: (ScalarType)24));
        Loads<NotSupportedException>("'bert.pooler.dense.bias'", "quantized");
    }

    [Fact]
    public void A_share_of_a_sharded_model_is_not_saved_as_the_whole()
    {
        var weights = new Dictionary<string, Tensor>(_model.state_dict()) { ["classifier.weight"] = zeros(12) };
        var message = Assert.Throws<InvalidOperationException>(() => _model.SavePretrained(_folder.Path, weights)).Message;
        Assert.Contains("'classifier.weight' is [12]", message, StringComparison.Ordinal);
        Assert.Contains("GetStateDict", message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void A_checkpoint_of_something_else_is_no_model_with_random_weights()
    {
        var renamed = _model.state_dict().ToDictionary(entry => "module." + entry.Key, entry => entry.Value);
        _model.SavePretrained(_folder.Path, renamed);
        Loads<InvalidDataException>("none of the weights of BertForSequenceClassification", "module.", "prefix");
    }

    [Fact]
    public void Missing_weights_are_new_and_finite_and_extra_ones_do_no_harm()
    {
        Save(weights =>
        {
            weights.Remove("classifier.weight");
            weights.Remove("bert.encoder.layer.0.output.LayerNorm.weight");
            weights["left.over"] = zeros(2);
        });
        using var loaded = PretrainedModel.FromPretrained(_folder.Path);
        Assert.True(loaded.get_parameter("bert.encoder.layer.0.output.LayerNorm.weight")!.eq(1).all().item<bool>());
        var drawn = loaded.get_parameter("classifier.weight")!.abs().max().item<float>();
        Assert.InRange(drawn, 1e-6, 0.2);
        Assert.True(loaded.get_parameter("classifier.bias")!.eq(_model.get_parameter("classifier.bias")!).all().item<bool>());
    }
}
