using System.Text.Json;
using AccelerateSharp.Files;
using AccelerateSharp.Models.Configuration;
using AccelerateSharp.Models.Lora;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>A low-rank adapter on the linear layers of a model (Hu et al., arXiv 2106.09685), in the Hub's PEFT format.</summary>
/// <remarks>
/// Attaching freezes the model and adds two small matrices to each layer that is meant; they are parameters of the model, so an
/// accelerator prepares, shards and clips them like others. Attach before <c>Prepare</c>, and make the optimizer of
/// <see cref="Parameters"/>.
/// </remarks>
/// <example><code>
/// var model = PretrainedModel.FromPretrained("Llama-3.2-1B", ScalarType.BFloat16);
/// var adapter = LoraAdapter.Attach(model, new() { R = 16, LoraAlpha = 32, TargetModules = ["q_proj", "v_proj"] });
/// var optimizer = new FusedAdamW(adapter.Parameters, lr: 2e-4);
/// …
/// adapter.Save("mine");                              // adapter_config.json, adapter_model.safetensors
/// </code></example>
public sealed class LoraAdapter
{
    private const string ConfigName = "adapter_config.json";
    private const string WeightsName = "adapter_model.safetensors";
    private const string Prefix = "base_model.model.";

    private List<LoraLayer> _layers;

    private LoraAdapter(LoraConfig config, List<LoraLayer> layers) => (Config, _layers) = (config, layers);

    /// <summary>The configuration.</summary>
    public LoraConfig Config { get; }

    /// <summary>Names of the adapted layers.</summary>
    public IReadOnlyList<string> LayerNames => [.. _layers.Select(layer => layer.Name)];

    /// <summary>The matrices, which are what is trained.</summary>
    public IEnumerable<Parameter> Parameters => _layers.SelectMany(layer => layer.Parameters);

    /// <summary>Whether the weights of the layers include the update now.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>Adds a new adapter to a model, which computes the same as before until it is trained, and freezes everything else.</summary>
    /// <param name="model">The model, with its weights.</param>
    /// <param name="config">Which layers, and how.</param>
    /// <param name="dtype">The dtype of the matrices; float32 by default, also on a model of half precision, so that small updates count.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself, or means no layer of this model.</exception>
    /// <exception cref="InvalidOperationException">A layer has an adapter already.</exception>
    public static LoraAdapter Attach(Module model, LoraConfig config, ScalarType dtype = ScalarType.Float32)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(config);
        config.Check();
        var targets = LoraTargets.Find(model, config.TargetModules!);
        foreach (var parameter in model.parameters()) parameter.requires_grad = false;
        var layers = new List<LoraLayer>();
        try
        {
            foreach (var (name, layer) in targets) layers.Add(new LoraLayer(name, layer, config, dtype));
        }
        catch
        {
            foreach (var layer in layers) layer.Dispose();
            throw;
        }
        return new LoraAdapter(config with { FanInFanOut = targets.Any(target => target.Layer is not Linear) }, layers);
    }

    /// <summary>Adds a saved adapter to the model that it was trained for.</summary>
    /// <param name="model">The model, with its weights.</param>
    /// <param name="folder">A folder with <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>.</param>
    /// <param name="dtype">The dtype of the matrices; float32 by default.</param>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">The files do not fit the model, or each other.</exception>
    /// <inheritdoc cref="Attach" path="/exception"/>
    public static LoraAdapter Load(Module model, string folder, ScalarType dtype = ScalarType.Float32)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        var config = ReadConfig(Path.Combine(folder, ConfigName));
        using var weights = SafetensorsCheckpoint.Open(Path.Combine(folder, WeightsName));
        var adapter = Attach(model, config, dtype);
        try
        {
            using var noGradient = no_grad();
            var reads = adapter._layers.SelectMany(layer => layer.NamedParameters).ToDictionary(entry => Prefix + entry.Name, entry => entry.Parameter);
            foreach (var (name, parameter) in reads)
            {
                if (!weights.Contains(name)) throw new InvalidDataException($"{folder}: {WeightsName} lacks '{name}', which {ConfigName} asks for.");
                if (!weights.Describe(name).Shape.SequenceEqual(parameter.shape))
                    throw new InvalidDataException($"{folder}: '{name}' is [{string.Join(", ", weights.Describe(name).Shape)}]; this model needs [{string.Join(", ", parameter.shape)}].");
            }
            if (weights.Names.FirstOrDefault(name => !reads.ContainsKey(name)) is { } unknown)
                throw new InvalidDataException($"{folder}: {WeightsName} holds '{unknown}', for which this model has no layer.");
            weights.ReadInto(reads.Select(entry => KeyValuePair.Create(entry.Key, (Tensor)entry.Value.detach())));
            return adapter;
        }
        catch
        {
            adapter.Remove();
            throw;
        }
    }

    /// <summary>Writes <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>, which PEFT reads too.</summary>
    /// <param name="folder">Made if it is not there.</param>
    /// <remarks>For a model that is sharded over processes, pass what <c>Accelerator.GetStateDict(model)</c> returns to the other overload, on the main process.</remarks>
    public void Save(string folder) => Save(folder, _layers.SelectMany(layer => layer.NamedParameters).ToDictionary(entry => entry.Name, entry => (Tensor)entry.Parameter));

    /// <summary>Writes the adapter from a state dictionary of the whole model.</summary>
    /// <param name="folder">Made if it is not there.</param>
    /// <param name="stateDict">Tensors by name; those of other parameters are left out.</param>
    /// <exception cref="ArgumentException">One of the adapter's matrices is not in it.</exception>
    public void Save(string folder, IReadOnlyDictionary<string, Tensor> stateDict)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(stateDict);
        var names = _layers.SelectMany(layer => layer.NamedParameters).Select(entry => entry.Name).ToList();
        if (names.Find(name => !stateDict.ContainsKey(name)) is { } missing) throw new ArgumentException($"The state dictionary lacks '{missing}'.", nameof(stateDict));
        Directory.CreateDirectory(folder);
        SafetensorsCheckpoint.SaveFile(names.ToDictionary(name => Prefix + name, name => stateDict[name]), Path.Combine(folder, WeightsName));
        AtomicFile.Write(Path.Combine(folder, ConfigName), JsonSerializer.Serialize(Config, ConfigJson.Default.LoraConfig) + "\n");
    }

    /// <summary>Adds the update to the weights: from now on the model is as fast as without an adapter.</summary>
    /// <remarks>In half precision the sum is rounded, and <see cref="Unmerge"/> does not bring back every last bit.</remarks>
    /// <exception cref="InvalidOperationException">A weight is sharded or offloaded.</exception>
    public void Merge() => SetMerged(true);

    /// <summary>Takes the update out of the weights again.</summary>
    /// <inheritdoc cref="Merge" path="/exception"/>
    public void Unmerge() => SetMerged(false);

    /// <summary>Takes the adapter off the model. What was merged stays in its weights; parameters stay frozen.</summary>
    public void Remove()
    {
        foreach (var layer in _layers) layer.Dispose();
        _layers = [];
    }

    internal static bool IsAdapterTensor(string name) => name.EndsWith(".lora_A.weight", StringComparison.Ordinal) || name.EndsWith(".lora_B.weight", StringComparison.Ordinal);

    private static LoraConfig ReadConfig(string file)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"There is no adapter configuration {file}.", file);
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(file), ConfigJson.Default.LoraConfig)!;
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{file}: {exception.Message}", exception);
        }
    }

    private void SetMerged(bool merged)
    {
        foreach (var layer in _layers) layer.Merge(merged);
        IsMerged = merged;
    }
}
