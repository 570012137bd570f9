using System.Text;
using AccelerateSharp.Core.Tests.Hub;
using AccelerateSharp.Core.Tests.Safetensors;
using AccelerateSharp.Estimation;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Core.Tests.Estimation;

public sealed class ModelLoaderTests : IDisposable
{
    private const string Index = "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\",\"layers.0.c.weight\":\"two.safetensors\"}}";

    private static readonly byte[] _one = SafetensorsBytes.File(SafetensorsBytes.TwoTensors, 32);
    private static readonly byte[] _two = SafetensorsBytes.File("""{"layers.0.c.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}""", 8);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_folder_a_file_an_index_and_a_config_are_models()
    {
        var file = _folder.Write("one.safetensors", _one);
        Assert.Equal(10, (await LoadAsync(file)).Inventory.ParameterCount);
        Assert.Equal(10, (await LoadAsync(_folder.Path)).Inventory.ParameterCount);
        _folder.Write("two.safetensors", _two);
        Assert.Contains("several files", (await Assert.ThrowsAsync<EstimationException>(() => LoadAsync(_folder.Path))).Message, StringComparison.Ordinal);
        var index = _folder.Write("model.safetensors.index.json", Encoding.UTF8.GetBytes(Index));
        Assert.Equal(14, (await LoadAsync(index)).Inventory.ParameterCount);
        Assert.Equal(14, (await LoadAsync(_folder.Path)).Inventory.ParameterCount);
        var config = _folder.Write("config.json", Encoding.UTF8.GetBytes(Configs.Gpt2));
        Assert.Equal(124_439_808, (await LoadAsync(config)).Inventory.ParameterCount);
        var both = await LoadAsync(_folder.Path);
        Assert.Equal(124_439_808, both.Inventory.ParameterCount);
        Assert.Contains("The weights hold 14 parameters", both.Notes[0], StringComparison.Ordinal);
        var weights = await LoadAsync(index);
        Assert.Equal(14, weights.Inventory.ParameterCount);
        Assert.NotNull(weights.Inventory.Geometry);
    }

    [Fact]
    public async Task What_cannot_be_read_says_why()
    {
        _folder.Write("config.json", """{"model_type":"mystery"}"""u8.ToArray());
        _folder.Write("pytorch_model.bin", [1]);
        var error = await Assert.ThrowsAsync<EstimationException>(() => LoadAsync(_folder.Path));
        Assert.Contains("no safetensors weights ('pytorch_model.bin' is not read", error.Message, StringComparison.Ordinal);
        Assert.Contains("'mystery'", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<EstimationException>(() => LoadAsync("./no-such-folder/x"));
        await Assert.ThrowsAsync<EstimationException>(() => LoadAsync("model.safetensors"));
        var index = _folder.Write("model.safetensors.index.json", Encoding.UTF8.GetBytes(Index));
        Assert.Contains("'one.safetensors'", (await Assert.ThrowsAsync<SafetensorsException>(() => LoadAsync(index))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_of_the_hub_is_counted_from_headers_and_configuration()
    {
        await using var hub = await FakeHub.StartAsync();
        hub.Files["one.safetensors"] = _one;
        hub.Files["two.safetensors"] = _two;
        hub.Files["model.safetensors.index.json"] = Encoding.UTF8.GetBytes(Index);
        Assert.Equal(14, (await LoadAsync(FakeHub.Model, hub)).Inventory.ParameterCount);
        hub.Files["config.json"] = Encoding.UTF8.GetBytes(Configs.BertBaseCased);
        Assert.Equal("bert", (await LoadAsync(FakeHub.Model, hub)).Inventory.Architecture);
        // Of a known architecture, the configuration in the cache is enough.
        Assert.Equal("bert", (await LoadAsync(FakeHub.Model, hub, offline: true)).Inventory.Architecture);
    }

    private Task<LoadedModel> LoadAsync(string model, FakeHub? hub = null, bool offline = false) => ModelLoader.LoadAsync(model, "main", name => name switch
    {
        "HF_ENDPOINT" => hub?.Endpoint.ToString() ?? "http://127.0.0.1:1",
        "HF_HOME" => _folder.Path,
        "HF_HUB_OFFLINE" => offline ? "1" : null,
        _ => null,
    }, TestContext.Current.CancellationToken);
}
