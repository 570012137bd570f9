using System.Runtime.CompilerServices;
using AccelerateSharp.BigModel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public static partial class BigModeling
{
    private static readonly ConditionalWeakTable<Module, DeviceMap> _deviceMaps = [];

    /// <summary>Spreads a model over GPUs, the host's memory and the disk; it is called as before.</summary>
    /// <remarks>
    /// <para>
    /// Weights of modules on <c>cpu</c> or <c>disk</c> come to the main device when their block is called and leave it after; those of
    /// the block that was called next the last time come meanwhile. That takes device memory for the two largest blocks. Without
    /// any GPU in the map, modules on <c>cpu</c> simply stay there.
    /// </para>
    /// <para>Hooks run for <c>call</c>: a module that is entered through <c>forward</c> finds no weights.</para>
    /// </remarks>
    /// <param name="model">A model whose weights are loaded, except those that are in the offload folder.</param>
    /// <param name="deviceMap">A place for every tensor.</param>
    /// <param name="mainDevice">Where inputs come to and offloaded modules compute; by default the first GPU of the map, else the CPU.</param>
    /// <param name="offloadFolder">Where weights on disk lie. What the model has values for is written there; of the rest, what is there is used.</param>
    /// <param name="offloadBuffers">Whether buffers of offloaded modules are offloaded too; otherwise they stay on the main device. Those that are not persistent always do.</param>
    /// <param name="skipKeys">Names of <c>forward</c> parameters whose arguments stay where they are, for instance a cache.</param>
    /// <param name="preloadModuleClasses">Classes of modules that compute with weights of modules below without calling them: all are brought together.</param>
    /// <param name="forceHooks">Whether modules are hooked although all of them are on one device.</param>
    /// <returns>The model itself.</returns>
    /// <exception cref="ArgumentException">The map leaves out tensors, or puts some on disk without a folder.</exception>
    /// <exception cref="InvalidOperationException">Tensors have no values, or the model is dispatched already.</exception>
    /// <exception cref="IOException">The offload folder does not hold what it should, or is of another model.</exception>
    public static T DispatchModel<T>(
        T model, DeviceMap deviceMap, Device? mainDevice = null, string? offloadFolder = null, bool offloadBuffers = false, IReadOnlyCollection<string>? skipKeys = null,
        IReadOnlyCollection<string>? preloadModuleClasses = null, bool forceHooks = false) where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(deviceMap);
        CheckDeviceMap(model, deviceMap);
        var main = mainDevice ?? (deviceMap.Values.Where(placement => placement.IsGpu).Order().Cast<Placement?>().FirstOrDefault() ?? Placement.Cpu).ToDevice();
        var places = deviceMap.Values.Distinct().ToList();
        if (places is [var only] && only != Placement.Disk && !forceHooks && mainDevice is null)
        {
            var placement = new WeightPlacement(model, deviceMap, new DispatchOptions(main, false, null, offloadBuffers, null, new HashSet<string>()));
            placement.Check();
            placement.Place();
            _deviceMaps.AddOrUpdate(model, deviceMap);
            return model;
        }
        return Dispatch(model, deviceMap, main, main.type != TorchSharp.DeviceType.CPU, offloadFolder, offloadBuffers, skipKeys, preloadModuleClasses);
    }

    /// <summary>Keeps all weights of a model in the host's memory; each block's come to a device while it computes, and the next one's meanwhile.</summary>
    /// <param name="model">A model whose weights are loaded.</param>
    /// <param name="executionDevice">Where it computes; by default where its first parameter is.</param>
    /// <param name="offloadBuffers">Whether buffers are offloaded too.</param>
    /// <param name="preloadModuleClasses">Classes of modules whose weights are brought together with those of all modules below.</param>
    /// <returns>The model itself.</returns>
    public static T CpuOffload<T>(T model, Device? executionDevice = null, bool offloadBuffers = false, IReadOnlyCollection<string>? preloadModuleClasses = null) where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        return Dispatch(model, DeviceMap.All(Placement.Cpu), executionDevice ?? FirstDevice(model), offloadsCpu: true, null, offloadBuffers, null, preloadModuleClasses);
    }

    /// <summary>Keeps all weights of a model on disk; each block's come to a device while it computes, and the next one's are read meanwhile.</summary>
    /// <param name="model">A model whose weights are loaded, or lie in the folder already.</param>
    /// <param name="offloadFolder">Where the weights lie, or are written to.</param>
    /// <param name="executionDevice">Where it computes; by default where its first parameter is.</param>
    /// <param name="offloadBuffers">Whether buffers are offloaded too.</param>
    /// <param name="preloadModuleClasses">Classes of modules whose weights are brought together with those of all modules below.</param>
    /// <returns>The model itself.</returns>
    public static T DiskOffload<T>(
        T model, string offloadFolder, Device? executionDevice = null, bool offloadBuffers = false, IReadOnlyCollection<string>? preloadModuleClasses = null) where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(offloadFolder);
        return Dispatch(model, DeviceMap.All(Placement.Disk), executionDevice ?? FirstDevice(model), offloadsCpu: true, offloadFolder, offloadBuffers, null, preloadModuleClasses);
    }

    /// <summary>Keeps a whole model on the CPU until it is called; then it stays on a device until it, or the next model of a chain, is called for.</summary>
    /// <example><code>
    /// var (encoder, first) = BigModeling.CpuOffloadWithHook(encoder, CUDA);
    /// var (decoder, second) = BigModeling.CpuOffloadWithHook(decoder, CUDA, first);   // calling the decoder makes the encoder leave the GPU
    /// second.Offload();
    /// </code></example>
    /// <param name="model">The model.</param>
    /// <param name="executionDevice">Where it computes; by default GPU 0 where there is one.</param>
    /// <param name="prevModuleHook">The hook of the model that makes room when this one is called.</param>
    /// <returns>The model itself, and what offloads it and takes the hook off.</returns>
    public static (T Model, UserCpuOffloadHook Hook) CpuOffloadWithHook<T>(T model, Device? executionDevice = null, UserCpuOffloadHook? prevModuleHook = null) where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        ModelHooks.AddHookToModule(model, new CpuOffloadHook(executionDevice, prevModuleHook), append: true);
        return (model, new UserCpuOffloadHook(model));
    }

    /// <summary>The map by which a model was dispatched; null for one that was not.</summary>
    public static DeviceMap? DeviceMapOf(Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return _deviceMaps.TryGetValue(model, out var map) ? map : null;
    }

    /// <summary>All parameters and persistent buffers of a model by name, on the CPU, also those that are offloaded.</summary>
    /// <returns>Copies outside of every dispose scope; names of tied weights have one tensor.</returns>
    /// <exception cref="InvalidOperationException">A tensor has no values anywhere.</exception>
    public static Dictionary<string, Tensor> GetStateDictOffloadedModel(Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        using var noGrad = no_grad();
        var hooks = ModelTensors.Modules(model).Select(entry => HookRegistration.Offload(entry.Module)).OfType<IOffloadHook>().ToList();
        var state = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (var tensor in ModelTensors.Of(model).Where(tensor => tensor.IsPersistent))
        {
            var value = !tensor.IsEmpty ? tensor.Value.detach().to(CPU, copy: true).DetachFromDisposeScope()
                : hooks.Select(hook => hook.Read(tensor)).FirstOrDefault(found => found is not null)
                ?? throw new InvalidOperationException($"'{tensor.Name}' of this {model.GetType().Name} has no values, neither in the model nor offloaded.");
            foreach (var name in tensor.Names) state[name] = value;
        }
        return state;
    }

    private static T Dispatch<T>(
        T model, DeviceMap map, Device main, bool offloadsCpu, string? folder, bool offloadBuffers, IReadOnlyCollection<string>? skipKeys, IReadOnlyCollection<string>? preload)
        where T : Module
    {
        if (ModelTensors.Modules(model).Any(entry => OffloadEngine.HookOf(entry.Module) is not null) || _deviceMaps.TryGetValue(model, out _) && ModelHooks.GetHook(model) is not null)
            throw new InvalidOperationException($"This {model.GetType().Name} is dispatched already; take it back with ModelHooks.RemoveHookFromModule(model, recurse: true) first.");
        var opened = folder is null ? null : OffloadFolder.Open(folder);
        try
        {
            Dispatching.Run(model, map, new DispatchOptions(main, offloadsCpu, opened, offloadBuffers, skipKeys, (preload ?? []).ToHashSet(StringComparer.Ordinal)), () => _deviceMaps.Remove(model));
        }
        catch
        {
            opened?.Dispose();
            throw;
        }
        _deviceMaps.AddOrUpdate(model, map);
        return model;
    }

    private static Device FirstDevice(Module model) => model.parameters().FirstOrDefault(parameter => !parameter.is_meta)?.device ?? (cuda_is_available() ? CUDA : CPU);
}
