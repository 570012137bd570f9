using AccelerateSharp.BigModel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public static partial class BigModeling
{
    /// <summary>Gives a model the weights of a checkpoint; with a device map, each straight where it belongs.</summary>
    /// <remarks>
    /// Weights for the disk are read from the checkpoint's own files later; the offload folder only says where they are. Only those
    /// that change their dtype are written there. A tensor that the checkpoint has under one of several names is loaded once.
    /// </remarks>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="checkpoint">A safetensors file, an index, or the folder that holds them.</param>
    /// <param name="deviceMap">A place for every tensor; without one, weights are loaded where the model has them, and empty ones on the CPU.</param>
    /// <param name="offloadFolder">Where weights on disk are noted; needed if the map has <c>disk</c>.</param>
    /// <param name="dtype">What floating-point weights become; by default what they are in the model.</param>
    /// <param name="offloadBuffers">Whether buffers of modules on disk are on disk too.</param>
    /// <param name="keepInFp32Modules">Parts of dotted names, such as <c>wo</c>: there weights stay float32 where <paramref name="dtype"/> is float16.</param>
    /// <param name="strict">Whether it is an error that the checkpoint lacks tensors or has others; otherwise that is told.</param>
    /// <exception cref="ArgumentException">The map leaves out tensors or needs an offload folder, shapes differ, or with <paramref name="strict"/> names do.</exception>
    /// <exception cref="InvalidOperationException">A GPU is too small for what the map puts there.</exception>
    /// <exception cref="IOException">The checkpoint cannot be read.</exception>
    public static void LoadCheckpointInModel(
        Module model, string checkpoint, DeviceMap? deviceMap = null, string? offloadFolder = null, ScalarType? dtype = null, bool offloadBuffers = false,
        IReadOnlyCollection<string>? keepInFp32Modules = null, bool strict = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(checkpoint);
        if (deviceMap is not null)
        {
            CheckDeviceMap(model, deviceMap);
            if (offloadFolder is null && deviceMap.ContainsValue(Placement.Disk))
            {
                throw new ArgumentException($"The device map puts modules on disk ({string.Join(", ", deviceMap.Where(entry => entry.Value == Placement.Disk).Select(entry => entry.Key.Length == 0 ? "the whole model" : entry.Key).Take(5))}),"
                    + " but there is no offload folder. Give one as offloadFolder, or more memory to the devices.", nameof(offloadFolder));
            }
        }
        using var opened = SafetensorsCheckpoint.Open(checkpoint);
        new CheckpointLoad(model, opened, checkpoint, deviceMap, new LoadOptions(offloadFolder, dtype, offloadBuffers, keepInFp32Modules ?? [], strict)).Run();
    }

    /// <summary>Loads a checkpoint by a device map and spreads the model by it: <see cref="LoadCheckpointInModel"/>, then <see cref="DispatchModel"/>.</summary>
    /// <example><code>
    /// var model = BigModeling.InitEmptyWeights(() => new MyModel(config));
    /// BigModeling.LoadCheckpointAndDispatch(model, "checkpoint", new DeviceMap { ["embed"] = 0, ["layers"] = "cpu", ["head"] = 0 });
    /// using (no_grad()) logits = model.call(tokens);
    /// </code></example>
    /// <inheritdoc cref="LoadCheckpointInModel"/>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="checkpoint">A safetensors file, an index, or the folder that holds them.</param>
    /// <param name="deviceMap">A place for every tensor.</param>
    /// <param name="offloadFolder">Where weights on disk are noted; needed if the map has <c>disk</c>.</param>
    /// <param name="dtype">What floating-point weights become; by default what they are in the model.</param>
    /// <param name="offloadBuffers">Whether buffers of offloaded modules are offloaded too.</param>
    /// <param name="keepInFp32Modules">Parts of dotted names: there weights stay float32 where <paramref name="dtype"/> is float16.</param>
    /// <param name="skipKeys">Names of <c>forward</c> parameters whose arguments stay where they are.</param>
    /// <param name="preloadModuleClasses">Classes of modules whose weights are brought together with those of all modules below.</param>
    /// <param name="forceHooks">Whether modules are hooked although all of them are on one device.</param>
    /// <param name="strict">Whether it is an error that the checkpoint lacks tensors or has others.</param>
    /// <returns>The model itself.</returns>
    public static T LoadCheckpointAndDispatch<T>(
        T model, string checkpoint, DeviceMap deviceMap, string? offloadFolder = null, ScalarType? dtype = null, bool offloadBuffers = false,
        IReadOnlyCollection<string>? keepInFp32Modules = null, IReadOnlyCollection<string>? skipKeys = null, IReadOnlyCollection<string>? preloadModuleClasses = null,
        bool forceHooks = false, bool strict = false) where T : Module
    {
        ArgumentNullException.ThrowIfNull(deviceMap);
        LoadCheckpointInModel(model, checkpoint, deviceMap, offloadFolder, dtype, offloadBuffers, keepInFp32Modules, strict);
        return DispatchModel(model, deviceMap, offloadFolder: offloadFolder, offloadBuffers: offloadBuffers, skipKeys: skipKeys, preloadModuleClasses: preloadModuleClasses, forceHooks: forceHooks);
    }

    /// <summary>Finds a device map, loads a checkpoint by it, and spreads the model by it.</summary>
    /// <inheritdoc cref="LoadCheckpointAndDispatch{T}(T, string, DeviceMap, string?, ScalarType?, bool, IReadOnlyCollection{string}?, IReadOnlyCollection{string}?, IReadOnlyCollection{string}?, bool, bool)"/>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="checkpoint">A safetensors file, an index, or the folder that holds them.</param>
    /// <param name="strategy">How GPUs share the model.</param>
    /// <param name="maxMemory">The limits; by default what is free.</param>
    /// <param name="noSplitModuleClasses">Class names of blocks that stay whole; by default those that the model declares (<see cref="ITransformerModel"/>).</param>
    /// <param name="offloadFolder">Where weights on disk are noted; needed if memory is too small for all of them.</param>
    /// <param name="dtype">What floating-point weights become; by default what they are in the model.</param>
    /// <param name="offloadBuffers">Whether buffers of offloaded modules are offloaded too.</param>
    /// <param name="keepInFp32Modules">Parts of dotted names: there weights stay float32 where <paramref name="dtype"/> is float16.</param>
    /// <param name="skipKeys">Names of <c>forward</c> parameters whose arguments stay where they are.</param>
    /// <param name="preloadModuleClasses">Classes of modules whose weights are brought together with those of all modules below.</param>
    /// <param name="forceHooks">Whether modules are hooked although all of them are on one device.</param>
    /// <param name="strict">Whether it is an error that the checkpoint lacks tensors or has others.</param>
    public static T LoadCheckpointAndDispatch<T>(
        T model, string checkpoint, DeviceMapStrategy strategy = DeviceMapStrategy.Auto, MaxMemory? maxMemory = null, IReadOnlyCollection<string>? noSplitModuleClasses = null,
        string? offloadFolder = null, ScalarType? dtype = null, bool offloadBuffers = false, IReadOnlyCollection<string>? keepInFp32Modules = null,
        IReadOnlyCollection<string>? skipKeys = null, IReadOnlyCollection<string>? preloadModuleClasses = null, bool forceHooks = false, bool strict = false) where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        var map = InferAutoDeviceMap(model, strategy, maxMemory, noSplitModuleClasses, dtype, offloadBuffers: offloadBuffers);
        if (offloadFolder is null && map.ContainsValue(Placement.Disk))
        {
            var sizes = ComputeModuleSizes(model, dtype);
            var onDisk = map.Where(entry => entry.Value == Placement.Disk).Sum(entry => sizes.GetValueOrDefault(entry.Key));
            throw new InvalidOperationException($"Memory is too small for this {model.GetType().Name}: {onDisk / 1e9:F2} of its {sizes[""] / 1e9:F2} GB would go to disk."
                + " Give an offload folder, a smaller dtype, or more memory (maxMemory).");
        }
        return LoadCheckpointAndDispatch(
            model, checkpoint, map, offloadFolder, dtype, offloadBuffers, keepInFp32Modules, skipKeys, preloadModuleClasses, forceHooks, strict);
    }

    /// <summary>Puts one tensor of a module on a device, with a value from elsewhere where one is given.</summary>
    /// <param name="module">The module, or one above it.</param>
    /// <param name="tensorName">The dotted name of a parameter or buffer.</param>
    /// <param name="device">Where it comes to be.</param>
    /// <param name="value">Its value; by default the one it has. A floating-point value is cast to the tensor's own dtype.</param>
    /// <param name="dtype">What the value is cast to instead; integers are never cast.</param>
    /// <exception cref="ArgumentException">There is no tensor of this name, it is on the meta device and no value is given, or the shapes differ.</exception>
    public static void SetModuleTensorToDevice(Module module, string tensorName, Device device, Tensor? value = null, ScalarType? dtype = null)
    {
        ArgumentNullException.ThrowIfNull(module);
        ArgumentException.ThrowIfNullOrEmpty(tensorName);
        ArgumentNullException.ThrowIfNull(device);
        var tensor = ModelTensors.Of(module).FirstOrDefault(tensor => tensor.Names.Contains(tensorName))
            ?? throw new ArgumentException($"This {module.GetType().Name} has no parameter or buffer '{tensorName}'.", nameof(tensorName));
        if (device.type == TorchSharp.DeviceType.META)
        {
            tensor.Empty();
            return;
        }
        if (value is null && tensor.IsEmpty)
            throw new ArgumentException($"'{tensorName}' is on the meta device: it needs a value to be put on {device}.", nameof(value));
        if (value is not null && !value.shape.SequenceEqual(tensor.Shape))
        {
            throw new ArgumentException($"'{tensorName}' has shape [{string.Join(", ", tensor.Shape)}], and the value has [{string.Join(", ", value.shape)}].", nameof(value));
        }
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var source = (value ?? tensor.Value).detach();
        if (source.is_floating_point()) source = source.to(dtype ?? tensor.Dtype);
        tensor.Put(source.to(device));
    }
}
