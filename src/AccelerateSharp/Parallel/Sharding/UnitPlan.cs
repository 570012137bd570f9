using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Which modules of a model become units, and which parameters belong to which.</summary>
internal sealed class UnitPlan
{
    private readonly Module _model;
    private readonly List<(string Name, Module Module)> _units;
    private readonly List<(string Name, Module Module)> _modules;
    private readonly Dictionary<string, Module> _byName;
    private readonly List<HashSet<Module>> _within;
    private readonly HashSet<Module> _ignored;
    private readonly bool _mixesTrainable;

    /// <param name="model">The model; always a unit itself, for the parameters that no other takes.</param>
    /// <param name="isUnit">Whether a module below it is one.</param>
    /// <param name="ignored">Modules whose parameters are left as they are, with all below them.</param>
    /// <param name="mixesTrainable">Whether a unit may have trainable and frozen parameters.</param>
    public UnitPlan(Module model, Func<string, Module, bool> isUnit, IEnumerable<Module>? ignored = null, bool mixesTrainable = true)
    {
        _model = model;
        _mixesTrainable = mixesTrainable;
        _ignored = (ignored ?? []).SelectMany(module => module.modules().Prepend(module)).ToHashSet<Module>(ReferenceEqualityComparer.Instance);
        _modules = [.. Walk(model, "")];
        _byName = _modules.ToDictionary(item => item.Name, item => item.Module);
        var seen = new HashSet<Module>(ReferenceEqualityComparer.Instance);
        _units = [("", model), .. _modules.Skip(1).Where(item => !_ignored.Contains(item.Module) && isUnit(item.Name, item.Module) && seen.Add(item.Module))];
        _within = _units.ConvertAll(unit => Walk(unit.Module, "").Select(item => item.Module).ToHashSet<Module>(ReferenceEqualityComparer.Instance));
    }

    /// <summary>Names of the units, the model's own first.</summary>
    public IReadOnlyList<string> UnitNames => [.. _units.Select(unit => unit.Name)];

    public List<ShardedUnit> CreateUnits(ShardingMesh mesh, ShardingStreams streams, ShardingOptions options, Device device)
    {
        var owned = _units.Select(_ => new List<ParameterSlot>()).ToArray();
        var ignored = _ignored.SelectMany(module => module.parameters(recurse: false)).Select(parameter => TensorHandles.Identity(parameter)).ToHashSet();
        foreach (var slot in ParameterSlots.Of(_model))
        {
            if (ignored.Contains(TensorHandles.Identity(slot.Parameter))) continue;
            owned[OwnerOf(slot)].Add(slot);
        }

        var part = 0;
        return [.. _units.Select((unit, i) => new ShardedUnit(unit.Name, unit.Module, i, [.. Divide(unit.Name, owned[i]).Select(slots => new FlatParameter(++part, slots, mesh, streams, options, device))]))];
    }

    /// <summary>The modules that hold parameters themselves, with the units that these belong to; units themselves left out.</summary>
    public IEnumerable<(Module Module, IReadOnlyList<ShardedUnit> Units)> Holders(IReadOnlyList<ShardedUnit> units)
    {
        var ownerOf = units.SelectMany(unit => unit.Parameters.Select(parameter => (Identity: TensorHandles.Identity(parameter.Parameter), unit)))
            .ToDictionary(pair => pair.Identity, pair => pair.unit);
        var seen = new HashSet<Module>(units.Select(unit => unit.Module), ReferenceEqualityComparer.Instance);
        foreach (var (_, module) in _modules)
        {
            if (!seen.Add(module)) continue;
            var owners = module.parameters(recurse: false).Select(parameter => ownerOf.GetValueOrDefault(TensorHandles.Identity(parameter))).OfType<ShardedUnit>().Distinct().ToList();
            if (owners.Count > 0) yield return (module, owners);
        }
    }

    private static IEnumerable<(string Name, Module Module)> Walk(Module module, string name)
    {
        yield return (name, module);
        foreach (var (child, below) in module.named_children())
            foreach (var item in Walk(below, name.Length == 0 ? child : $"{name}.{child}")) yield return item;
    }

    /// <summary>The innermost unit around all modules that hold the parameter: what two units share belongs to the one around both.</summary>
    private int OwnerOf(ParameterSlot slot)
    {
        var holders = slot.Names.Select(HolderOf).ToList();
        return Enumerable.Range(0, _units.Count).Where(i => holders.TrueForAll(_within[i].Contains)).MinBy(i => _within[i].Count);
    }

    /// <summary>The module that a parameter's name leads to. Native modules have parameters with dotted names of their own.</summary>
    private Module HolderOf(string name)
    {
        for (var end = name.LastIndexOf('.'); end > 0; end = name.LastIndexOf('.', end - 1))
            if (_byName.TryGetValue(name[..end], out var module)) return module;
        return _model;
    }

    /// <summary>One buffer for each kind of parameter: those of one dtype, trained or not.</summary>
    private IEnumerable<IReadOnlyList<ParameterSlot>> Divide(string unit, List<ParameterSlot> slots)
    {
        if (!_mixesTrainable && slots.Select(slot => slot.Parameter.requires_grad).Distinct().Count() > 1)
        {
            throw new ArgumentException(
                $"FSDP: unit '{(unit.Length == 0 ? _model.GetName() : unit)}' has trainable and frozen parameters, which use_orig_params: false does not allow. Set it to true, or wrap so that each unit is trained as a whole or not at all.");
        }

        return slots.GroupBy(slot => (slot.Parameter.dtype, slot.Parameter.requires_grad)).Select(kind => kind.ToList());
    }
}
