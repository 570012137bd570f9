using AccelerateSharp.BigModel;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Models.Configuration;
using AccelerateSharp.Models.Internal;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>A model of the Hugging Face Hub: built from its <c>config.json</c>, with the parameter names of its safetensors files.</summary>
/// <remarks>Prepared, sharded, dispatched and adapted like every other module: it knows nothing of where it runs.</remarks>
/// <example><code>
/// var model = PretrainedModel.FromPretrained("Llama-3.2-1B", ScalarType.BFloat16, CUDA);
/// var logits = model.call(tokens).Logits;
/// model.SavePretrained("mine");
/// </code></example>
public abstract class PretrainedModel : Module<ModelInputs, ModelOutput>, ITransformerModel, ICheckpointNames
{
    private protected PretrainedModel(PretrainedConfig config, string name) : base(name) => Config = config;

    /// <summary>The configuration that the model was built from; its type is that of the model's family, such as <see cref="LlamaConfig"/>.</summary>
    // No model narrows the type: TorchSharp's Module.to does not take two properties of one name.
    public PretrainedConfig Config { get; }

    /// <inheritdoc/>
    public abstract IReadOnlyList<string> LayerClassNames { get; }

    /// <summary>Class names of blocks that a device map keeps whole.</summary>
    public virtual IReadOnlyList<string> NoSplitModuleClasses => LayerClassNames;

    /// <summary>The prefix of the model without its head, such as <c>model</c>; checkpoints of the bare model lack it.</summary>
    private protected abstract string BasePrefix { get; }

    /// <summary>Builds a model with new random weights.</summary>
    /// <param name="path">A <c>config.json</c>, or the folder that holds it.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <inheritdoc cref="PretrainedConfig.FromFile" path="/exception"/>
    public static PretrainedModel FromConfig(string path, ScalarType dtype = ScalarType.Float32, Device? device = null)
    {
        var (family, config) = ModelFamily.ReadConfig(ConfigFiles.Resolve(path));
        return family.Build(config, dtype, device);
    }

    /// <summary>Builds a model with new random weights.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public static PretrainedModel FromConfig(PretrainedConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        return ModelFamily.Of(config.ModelType, nameof(FromConfig)).Build(config, dtype, device);
    }

    /// <summary>Builds a model and fills it with saved weights, which are read once, straight into place.</summary>
    /// <param name="folder">A folder in the layout of the Hub: <c>config.json</c>, and <c>model.safetensors</c> or its shards with their index.</param>
    /// <param name="dtype">What floating-point weights become; by default they stay as they are saved.</param>
    /// <param name="device">Where they come to be; by default the CPU.</param>
    /// <returns>The model, in evaluation mode. Weights that the files lack are new, which is told.</returns>
    /// <inheritdoc cref="FromConfig(string, ScalarType, Device?)" path="/exception"/>
    /// <exception cref="InvalidDataException">A saved tensor has another shape than the model's.</exception>
    public static PretrainedModel FromPretrained(string folder, ScalarType? dtype = null, Device? device = null) =>
        FromPretrained(folder, config => config, dtype, device);

    /// <summary>The same with a configuration that is changed after it was read.</summary>
    internal static PretrainedModel FromPretrained(string folder, Func<PretrainedConfig, PretrainedConfig> change, ScalarType? dtype, Device? device)
    {
        var (family, saved) = ModelFamily.ReadConfig(ConfigFiles.Resolve(folder));
        var config = change(saved);
        var model = BigModeling.InitEmptyWeights(() => family.Build(config, ScalarType.Float32, device: null));
        WeightLoading.Fill(model, folder, dtype, device ?? CPU);
        model.eval();
        return model;
    }

    /// <summary>Writes <c>config.json</c> and the weights into a folder, as the Hub has them.</summary>
    /// <param name="folder">Made if it is not there.</param>
    /// <param name="maxShardSize">Largest size of a file, in bytes; 10 GB by default.</param>
    /// <remarks>For a model that is sharded over processes, save what <c>Accelerator.GetStateDict</c> returns with <see cref="SavePretrained(string, IReadOnlyDictionary{string, Tensor}, long)"/>.</remarks>
    public void SavePretrained(string folder, long maxShardSize = 10_000_000_000) => SavePretrained(folder, state_dict(), maxShardSize);

    /// <summary>Writes <c>config.json</c> and these weights into a folder, as the Hub has them.</summary>
    /// <param name="folder">Made if it is not there.</param>
    /// <param name="weights">The tensors by name.</param>
    /// <param name="maxShardSize">Largest size of a file, in bytes; 10 GB by default.</param>
    public void SavePretrained(string folder, IReadOnlyDictionary<string, Tensor> weights, long maxShardSize = 10_000_000_000)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(weights);
        Directory.CreateDirectory(folder);
        WeightLoading.Save(this, folder, weights, maxShardSize);
    }

    /// <summary>Every parameter once: one that has two names, as a tied embedding, is not trained or counted twice.</summary>
    public override IEnumerable<Parameter> parameters(bool recurse = true) => named_parameters(recurse).Select(entry => entry.parameter);

    /// <summary>Every parameter once, under its first name: the names in the model's files.</summary>
    public override IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
    {
        // Two objects can stand for one tensor.
        var seen = new HashSet<nint>();
        return [.. base.named_parameters(recurse).Where(entry => TensorHandles.Identity(entry.parameter) is var identity && (identity == 0 || seen.Add(identity)))];
    }

    /// <inheritdoc/>
    protected override Module _to(ScalarType dtype, bool non_blocking) => StayTied(() => base._to(dtype, non_blocking));

    /// <inheritdoc/>
    protected override Module _to(Device device, ScalarType dtype, bool non_blocking) => StayTied(() => base._to(device, dtype, non_blocking));

    /// <inheritdoc/>
    protected override Module _to(DeviceType deviceType, int deviceIndex, bool non_blocking) => StayTied(() => base._to(deviceType, deviceIndex, non_blocking));

    /// <summary>The name of a parameter in a checkpoint: its own, or that with the base model's prefix put on or off.</summary>
    /// <returns>Null where the checkpoint does not have it.</returns>
    internal virtual string? NameInCheckpoint(string parameter, Func<string, bool> contains)
    {
        if (contains(parameter)) return parameter;
        var prefix = BasePrefix + ".";
        var other = parameter.StartsWith(prefix, StringComparison.Ordinal) ? parameter[prefix.Length..] : prefix + parameter;
        return contains(other) ? other : null;
    }

    /// <summary>Whether a tensor of a checkpoint says nothing that the model does not know by itself.</summary>
    internal virtual bool IsDerived(string name) => name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal);

    string? ICheckpointNames.NameInCheckpoint(string tensor, Func<string, bool> contains) => NameInCheckpoint(tensor, contains);

    bool ICheckpointNames.IsDerived(string name) => IsDerived(name);

    /// <summary>New values: normally distributed matrices, no bias, norms of one.</summary>
    internal virtual void Initialize(string name, Tensor parameter)
    {
        if (parameter.dim() > 1) init.normal_(parameter, 0, Config.InitializerRange);
        else if (name.EndsWith("bias", StringComparison.Ordinal)) init.zeros_(parameter);
        else init.ones_(parameter);
    }

    /// <summary>The last line of a constructor.</summary>
    private protected void Initialize()
    {
        using var noGradient = no_grad();
        foreach (var (name, parameter) in named_parameters()) Initialize(name, parameter);
    }

    /// <summary>TorchSharp's <c>to</c> gives each module a parameter of its own; what was one becomes one again.</summary>
    private Module StayTied(Func<Module> convert)
    {
        var tied = BigModeling.FindTiedParameters(this);
        var converted = convert();
        BigModeling.RetieParameters(this, tied);
        return converted;
    }
}
