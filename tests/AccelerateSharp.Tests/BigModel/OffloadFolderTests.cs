using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>The format of offload folders: bare bytes for each tensor, and an index.</summary>
public sealed class OffloadFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void A_file_for_each_tensor_and_an_index_that_grows()
    {
        var state = new ModelForTest().state_dict();
        BigModeling.OffloadStateDict(_folder, state);
        Assert.All(state.Keys, name => Assert.True(File.Exists(Path.Combine(_folder, $"{name}.dat")), name));
        BigModeling.OffloadStateDict(_folder, [new("extra", ones(2))]);
        var text = File.ReadAllText(Path.Combine(_folder, "index.json"));
        Assert.Contains("  \"linear1.weight\": {\n    \"dtype\": \"float32\",", text);
        using var index = JsonDocument.Parse(text);
        Assert.Equal([4, 3], index.RootElement.GetProperty("linear1.weight").GetProperty("shape").EnumerateArray().Select(extent => extent.GetInt32()));
        Assert.Equal("int64", index.RootElement.GetProperty("batchnorm.num_batches_tracked").GetProperty("dtype").GetString());
        Assert.Equal(state.Count + 1, index.RootElement.EnumerateObject().Count());
    }

    [Theory]
    [InlineData(ScalarType.Float16, "float16")]
    [InlineData(ScalarType.Float32, "float32")]
    [InlineData(ScalarType.BFloat16, "bfloat16")]
    [InlineData(ScalarType.Int8, "int8")]
    [InlineData(ScalarType.Bool, "bool")]
    [InlineData((ScalarType)24, "float8_e4m3fn")]
    public void Values_come_back_bit_by_bit(ScalarType dtype, string name)
    {
        var values = (randn(2, 3) * 3).to(dtype);
        BigModeling.OffloadStateDict(_folder, [new("weight", values), new("turned", values.t()), new("scalar", values[0, 0]), new("nothing", zeros(0, 4))]);
        Assert.Contains($"\"{name}\"", File.ReadAllText(Path.Combine(_folder, "index.json")));
        using var loader = new OffloadedWeightsLoader(saveFolder: _folder);
        foreach (var (key, value) in new Dictionary<string, Tensor> { ["weight"] = values, ["turned"] = values.t(), ["scalar"] = values[0, 0] })
        {
            Assert.Equal((dtype, value.dim()), (loader[key].dtype, loader[key].dim()));
            Assert.True(loader[key].to(ScalarType.Float32).equal(value.to(ScalarType.Float32)).all().item<bool>());
        }
        Assert.Equal([0L, 4], loader["nothing"].shape);
    }

    [Fact]
    public void Weights_come_from_the_state_dictionary_first_then_from_the_folder()
    {
        BigModeling.OffloadStateDict(_folder, [new("a", ones(2)), new("b", ones(2) * 2)]);
        var own = new Dictionary<string, Tensor> { ["c"] = ones(2) * 3, ["a"] = ones(2) * 4 };
        using var loader = new OffloadedWeightsLoader(own, _folder);
        Assert.Equal(["c", "a", "b"], loader.Keys);
        Assert.Equal([3f, 4f, 2f], loader.Values.Select(value => value[0].item<float>()));
        Assert.True(loader.ContainsKey("b") && !loader.ContainsKey("d") && loader.Count == 3);
        Assert.Throws<KeyNotFoundException>(() => loader["d"]);
        Assert.Throws<ArgumentException>(() => new OffloadedWeightsLoader());
    }

    [Fact]
    public void A_tensor_of_a_safetensors_file_is_read_there_and_cast()
    {
        var file = Path.Combine(_folder, "model.safetensors");
        SafetensorsCheckpoint.SaveFile([new("inside", arange(6, ScalarType.Float32).reshape(2, 3))], file);
        File.WriteAllText(Path.Combine(_folder, "index.json"), $$"""{"weight": {"safetensors_file": "{{file}}", "weight_name": "inside", "dtype": "float16"} }""");
        using var loader = new OffloadedWeightsLoader(saveFolder: _folder);
        Assert.Equal((ScalarType.Float16, 5f), (loader["weight"].dtype, loader["weight"][1, 2].to(ScalarType.Float32).item<float>()));
        File.Delete(file);
        using var stale = new OffloadedWeightsLoader(saveFolder: _folder);
        Assert.Contains("is not there", Assert.Throws<IOException>(() => stale["weight"]).Message);
    }

    [Fact]
    public void Names_that_would_be_paths_and_files_that_are_no_index_are_refused()
    {
        Assert.Throws<ArgumentException>(() => BigModeling.OffloadStateDict(_folder, [new("../out", ones(1))]));
        File.WriteAllText(Path.Combine(_folder, "index.json"), "[1, 2]");
        Assert.Contains("no index", Assert.Throws<IOException>(() => new OffloadedWeightsLoader(saveFolder: _folder)).Message);
    }

    [Fact]
    public void Entries_of_modules_are_found_by_whole_parts_of_names()
    {
        Assert.Equal(["a.1", "a.2"], BigModeling.ExtractSubmodulesStateDict(new Dictionary<string, int> { ["a.1"] = 0, ["a.10"] = 1, ["a.2"] = 2 }, ["a.1", "a.2"]).Keys);
        Assert.Equal(["a.1.a", "a.2.a"], BigModeling.ExtractSubmodulesStateDict(new Dictionary<string, int> { ["a.1.a"] = 0, ["a.10.a"] = 1, ["a.2.a"] = 2 }, ["a.1", "a.2"]).Keys);
    }
}
