using AccelerateSharp.Parallel.Sharding;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Spreads a model over the places of its device map: decides which weights go together, and hooks the modules.</summary>
/// <remarks>
/// Offloaded weights come and go by blocks: the innermost modules with children whose class their parent repeats, as transformers do
/// with their layers, the classes that the model declares, and those that the caller names. What lies outside of blocks goes by
/// single modules.
/// </remarks>
internal sealed class Dispatching
{
    private readonly DeviceMap _map;
    private readonly DispatchOptions _options;
    private readonly WeightPlacement _placement;
    private readonly OffloadEngine _engine;
    private readonly IReadOnlySet<string> _layerClasses;
    private readonly HashSet<Module> _seen = new(ReferenceEqualityComparer.Instance);
    private readonly List<(Module Module, DispatchHook Hook)> _hooks = [];

    private Dispatching(Module model, DeviceMap map, DispatchOptions options, WeightPlacement placement, Action onEnd)
    {
        (_map, _options, _placement) = (map, options, placement);
        _layerClasses = (model as ITransformerModel)?.LayerClassNames.ToHashSet(StringComparer.Ordinal) ?? [];
        _engine = new OffloadEngine(options.Folder, map.Values.Select(options.ExecutionDevice).Append(options.MainDevice).Select(device => device.ToString()).Distinct().Count() > 1, onEnd);
    }

    /// <param name="model">The model.</param>
    /// <param name="map">Covers all of its tensors.</param>
    /// <param name="options">How.</param>
    /// <param name="onEnd">Called when the last hook has been taken off again.</param>
    public static void Run(Module model, DeviceMap map, DispatchOptions options, Action onEnd)
    {
        if (ModuleHooks.SignatureOf(model) is null)
            throw new ArgumentException($"{model.GetType().Name} derives from torch.nn.Module directly and cannot be called, so it cannot be dispatched; derive it from Module<TInput, TResult>.", nameof(model));
        var placement = new WeightPlacement(model, map, options);
        placement.Check();
        TiedParameters.CheckOnSameDevice(placement.ComputedApart().Select(tensor => tensor.Names), map);
        placement.Place();
        var dispatching = new Dispatching(model, map, options, placement, onEnd);
        dispatching.Walk("", model, parent: null, repeated: false);
        foreach (var (module, hook) in dispatching._hooks) ModelHooks.AddHookToModule(module, hook, append: true);
    }

    /// <returns>Tensors whose module cannot be called itself: one above it computes with them.</returns>
    private List<ModelTensor> Walk(string name, Module module, Device? parent, bool repeated)
    {
        if (!_seen.Add(module)) return [];
        var device = name.Length == 0 && !_map.ContainsKey("") ? _options.MainDevice : _options.ExecutionDevice(_placement.PlacementOf(name));
        var callable = ModuleHooks.SignatureOf(module) is not null;
        var whole = callable && IsWhole(name, module, repeated);
        List<ModelTensor> tensors = whole
            ? [.. _placement.Tensors.Where(tensor => tensor.Names.Any(own => ModuleNames.Covers(name, own)))]
            : [.. ModelTensors.Direct(module, name).Select(tensor => _placement.ByName[tensor.Name])];
        if (!whole)
        {
            var children = module.named_children().ToList();
            var counts = children.CountBy(child => ModelTensors.ClassName(child.module)).ToDictionary();
            foreach (var (childName, child) in children)
                tensors.AddRange(Walk(ModuleNames.Join(name, childName), child, callable ? device : parent, counts[ModelTensors.ClassName(child)] > 1));
        }
        if (!callable) return tensors;
        var weights = _placement.ToBring(tensors, device);
        var isRoot = name.Length == 0;
        if (weights.Count == 0 && !isRoot && parent is not null && parent.ToString() == device.ToString()) return [];
        var unit = weights.Count == 0 ? null : new OffloadUnit(name, module, device, weights, isNested: !whole && module.named_children().Any());
        _hooks.Add((module, new DispatchHook(_engine, unit, device, isRoot, ForwardArguments.Named(module, _options.SkipKeys))));
        return [];
    }

    /// <summary>Whether all weights of a module come together.</summary>
    private bool IsWhole(string name, Module module, bool repeated)
    {
        if (!module.named_children().Any()) return true;
        if (_map.Keys.Any(key => key.Length > name.Length && ModuleNames.Covers(name, key))) return false;
        if (!_options.IsOffloaded(_placement.PlacementOf(name))) return false;
        var className = ModelTensors.ClassName(module);
        return _options.PreloadClasses.Contains(className) || _layerClasses.Contains(className) || repeated && IsBlock(module) && !ContainsBlocks(module);
    }

    private static bool ContainsBlocks(Module module) =>
        module.named_children().Where(child => IsBlock(child.module)).CountBy(child => ModelTensors.ClassName(child.module)).Any(count => count.Value > 1)
        || module.named_children().Any(child => ContainsBlocks(child.module));

    /// <summary>Whether a module is more than a container: it computes something of its own with modules below.</summary>
    private static bool IsBlock(Module module) =>
        ModuleHooks.SignatureOf(module) is not null && module.named_children().Any() && ModelTensors.ClassName(module) is not ("Sequential" or "ModuleList" or "ModuleDict");
}
