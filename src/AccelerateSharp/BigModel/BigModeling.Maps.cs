using AccelerateSharp.BigModel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public static partial class BigModeling
{
    /// <summary>Bytes of every module and tensor, by dotted name; the empty name is the whole model. Tied parameters count once, under their first name.</summary>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="dtype">What floating-point weights are loaded as. They count as at most their own size.</param>
    /// <param name="specialDtypes">What single tensors are loaded as, by name.</param>
    /// <param name="buffersOnly">Whether parameters are left out.</param>
    public static IReadOnlyDictionary<string, long> ComputeModuleSizes(
        Module model, ScalarType? dtype = null, IReadOnlyDictionary<string, ScalarType>? specialDtypes = null, bool buffersOnly = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        return ModuleSizes.Of(model, dtype, specialDtypes, buffersOnly).All;
    }

    /// <summary>Bytes of a model, and of its largest layer: a module without children, a block that stays whole, or a tensor of the model itself.</summary>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="noSplitModuleClasses">Class names of blocks that stay whole.</param>
    /// <returns>Bytes in all, bytes of the largest layer, and the names of the layers of that size.</returns>
    public static (long Total, long LargestLayer, IReadOnlyList<string> LargestLayerNames) CalculateMaximumSizes(
        Module model, IReadOnlyCollection<string>? noSplitModuleClasses = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        var sizes = ModuleSizes.Of(model);
        var (bytes, names) = Layer.Largest(Layer.TopLevel(model), sizes, NoSplitClasses(model, noSplitModuleClasses));
        return (sizes.Total, bytes, names);
    }

    /// <summary>Limits in the order in which devices are filled: GPUs, cpu, disk. Without any given, what is free on each GPU and on the host.</summary>
    /// <exception cref="ArgumentException">A limit is negative.</exception>
    public static MaxMemory GetMaxMemory(MaxMemory? maxMemory = null) => AvailableMemory.Normalize(maxMemory);

    /// <summary>Lowers the limits of GPUs so that a device map inferred with them gives all of them about the same share of a model.</summary>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="maxMemory">The limits; by default what is free. A GPU with 0 is not used.</param>
    /// <param name="noSplitModuleClasses">Class names of blocks that stay whole.</param>
    /// <param name="dtype">What floating-point weights are loaded as.</param>
    /// <param name="specialDtypes">What single tensors are loaded as, by name.</param>
    /// <param name="lowZero">Whether GPU 0 gets only what the others do not hold, as generation needs its memory.</param>
    public static MaxMemory GetBalancedMemory(
        Module model, MaxMemory? maxMemory = null, IReadOnlyCollection<string>? noSplitModuleClasses = null, ScalarType? dtype = null,
        IReadOnlyDictionary<string, ScalarType>? specialDtypes = null, bool lowZero = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        return BalancedMemory.Compute(model, maxMemory, NoSplitClasses(model, noSplitModuleClasses), dtype, specialDtypes, lowZero);
    }

    /// <summary>Finds a place for every layer of a model: GPUs are filled first, then the host's memory, and what is left goes to disk.</summary>
    /// <remarks>
    /// On the first GPU, and on the host, room stays free for the largest layer that comes later, as offloaded layers are computed with
    /// there. Layers with tied parameters are kept together. The model's weights may be empty.
    /// </remarks>
    /// <param name="model">The model.</param>
    /// <param name="maxMemory">The limits; by default what is free.</param>
    /// <param name="noSplitModuleClasses">Class names of blocks that stay whole, for instance those with a residual connection; by default those that the model declares (<see cref="ITransformerModel"/>).</param>
    /// <param name="dtype">What floating-point weights are loaded as.</param>
    /// <param name="specialDtypes">What single tensors are loaded as, by name.</param>
    /// <param name="verbose">Whether each step is told.</param>
    /// <param name="cleanResult">Whether modules whose parts all live in one place get one entry.</param>
    /// <param name="offloadBuffers">Whether the buffers of offloaded layers are offloaded too; otherwise they stay where the layers are computed.</param>
    /// <param name="fallbackAllocation">Whether a device too small for the next layer gets the first later one that fits.</param>
    public static DeviceMap InferAutoDeviceMap(
        Module model, MaxMemory? maxMemory = null, IReadOnlyCollection<string>? noSplitModuleClasses = null, ScalarType? dtype = null,
        IReadOnlyDictionary<string, ScalarType>? specialDtypes = null, bool verbose = false, bool cleanResult = true, bool offloadBuffers = false,
        bool fallbackAllocation = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        return DeviceMapInference.Run(
            model, maxMemory, NoSplitClasses(model, noSplitModuleClasses), dtype, specialDtypes, cleanResult, offloadBuffers, fallbackAllocation,
            verbose ? Notices.Say : null);
    }

    /// <summary>Finds a place for every layer of a model, with the GPUs' shares by a strategy.</summary>
    /// <param name="model">The model; its weights may be empty.</param>
    /// <param name="strategy">How GPUs share the model.</param>
    /// <param name="maxMemory">The limits; by default what is free.</param>
    /// <param name="noSplitModuleClasses">Class names of blocks that stay whole.</param>
    /// <param name="dtype">What floating-point weights are loaded as.</param>
    /// <param name="specialDtypes">What single tensors are loaded as, by name.</param>
    /// <param name="offloadBuffers">Whether the buffers of offloaded layers are offloaded too.</param>
    public static DeviceMap InferAutoDeviceMap(
        Module model, DeviceMapStrategy strategy, MaxMemory? maxMemory = null, IReadOnlyCollection<string>? noSplitModuleClasses = null,
        ScalarType? dtype = null, IReadOnlyDictionary<string, ScalarType>? specialDtypes = null, bool offloadBuffers = false)
    {
        if (!Enum.IsDefined(strategy)) throw new ArgumentOutOfRangeException(nameof(strategy), strategy, "This is no strategy for a device map.");
        if (strategy != DeviceMapStrategy.Sequential)
            maxMemory = GetBalancedMemory(model, maxMemory, noSplitModuleClasses, dtype, specialDtypes, strategy == DeviceMapStrategy.BalancedLow0);
        return InferAutoDeviceMap(model, maxMemory, noSplitModuleClasses, dtype, specialDtypes, offloadBuffers: offloadBuffers);
    }

    /// <summary>A device map in which modules whose parts all live in one place have one entry; the one given stays as it is.</summary>
    public static DeviceMap CleanDeviceMap(DeviceMap deviceMap)
    {
        ArgumentNullException.ThrowIfNull(deviceMap);
        return DeviceMapCleaning.Clean(deviceMap);
    }

    /// <summary>Checks that a device map says of every tensor of a model where it lives. Entries that name no module are told.</summary>
    /// <exception cref="ArgumentException">Some tensors have no place; the message names them.</exception>
    public static void CheckDeviceMap(Module model, DeviceMap deviceMap)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(deviceMap);
        var tensors = ModelTensors.Of(model);
        var names = tensors.Where(tensor => tensor.IsPersistent).SelectMany(tensor => tensor.Names).ToList();
        var uncovered = names.Where(name => deviceMap.FindEntry(name) is null).ToList();
        if (uncovered.Count > 0)
        {
            throw new ArgumentException($"The device map says of {uncovered.Count} tensors not where they live: {string.Join(", ", uncovered.Take(10))}"
                + (uncovered.Count > 10 ? ", …" : "") + ". Add an entry for them, or for the modules above them ('' is the whole model).", nameof(deviceMap));
        }
        var known = ModelTensors.Modules(model).Select(entry => entry.Name).Concat(tensors.SelectMany(tensor => tensor.Names)).ToHashSet();
        var unknown = deviceMap.Keys.Where(name => !known.Contains(name)).ToList();
        if (unknown.Count > 0) Notices.Say($"The device map names what this {model.GetType().Name} does not have: {string.Join(", ", unknown)}.");
    }

    /// <summary>The groups of names that are one parameter, each in ordinal order.</summary>
    public static IReadOnlyList<IReadOnlyList<string>> FindTiedParameters(Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return TiedParameters.Find(model);
    }

    /// <summary>Makes each group of names one parameter again: the first of them that has values. Groups without any stay as they are.</summary>
    /// <exception cref="ArgumentException">A name is no parameter of the model.</exception>
    public static void RetieParameters(Module model, IReadOnlyList<IReadOnlyList<string>> groups)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(groups);
        TiedParameters.Retie(model, groups);
    }

    private static HashSet<string> NoSplitClasses(Module model, IReadOnlyCollection<string>? given) =>
        (given ?? (model as ITransformerModel)?.LayerClassNames ?? []).ToHashSet(StringComparer.Ordinal);
}
