using TorchSharp.Modules;
using static TorchSharp.torch;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The state of an optimizer over a sharded model's parameters, out of it and back.</summary>
internal sealed class ShardedOptimizer
{
    private readonly ShardingEngine _engine;
    private readonly Dictionary<ShardedParameter, ParameterStateFields> _states = [];

    /// <exception cref="ArgumentException">The optimizer keeps its state out of sight, or trains nothing of the model.</exception>
    public ShardedOptimizer(Optimizer optimizer, ShardingEngine engine)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        _engine = engine;
        if (optimizer is not OptimizerHelper managed)
            throw new ArgumentException($"{optimizer.GetType().Name} keeps its state in native code, where it cannot be read.", nameof(optimizer));
        foreach (var (parameter, state) in managed.parameters().Zip(managed.state_dict().State))
            if (engine.Find(parameter) is { } sharded) _states[sharded] = new ParameterStateFields(parameter, state);
        if (_states.Count == 0) throw new ArgumentException($"The optimizer trains no parameter of {engine.Model.GetName()}.", nameof(optimizer));
    }

    public Dictionary<string, Tensor> Gather()
    {
        var result = new Dictionary<string, Tensor>();
        foreach (var flat in Flats())
        {
            var fields = Agree(flat);
            foreach (var divided in fields.Where(field => field.IsDivided).GroupBy(field => field.Name).OrderBy(group => group.Key, StringComparer.Ordinal))
            {
                var wanted = divided.Select(field => field.Parameter).ToHashSet(StringComparer.Ordinal);
                ShardColumn.Gather(flat, _engine.Mesh, (ScalarType)divided.First().Dtype, parameter => ValueOf(parameter, divided.Key), (parameter, whole) =>
                {
                    if (wanted.Contains(parameter.Name)) result[$"{parameter.Name}.{divided.Key}"] = whole;
                    else whole.Dispose();
                });
            }

            if (_engine.Mesh.Rank != 0) continue;
            foreach (var field in fields.Where(field => !field.IsDivided))
                result[$"{field.Parameter}.{field.Name}"] = tensor(field.Number, (ScalarType)field.Dtype).DetachFromDisposeScope();
        }

        return result;
    }

    public ShardedStateDict TakeParts()
    {
        var entries = new Dictionary<string, ShardedTensor>();
        using var scope = NewDisposeScope();
        foreach (var (parameter, state) in _states)
        {
            foreach (var (name, value) in state.Values())
            {
                var copy = value.detach().to(CPU, copy: true).DetachFromDisposeScope();
                entries[$"{parameter.Name}.{name}"] = value.dim() == 0 ? new ShardedTensor([], 0, copy.reshape(1).DetachFromDisposeScope()) : new ShardedTensor(parameter.Shape, parameter.LocalStart, copy);
            }
        }

        return new ShardedStateDict(StateDictType.ShardedStateDict, _engine.Mesh.Rank, _engine.Mesh.World?.Size ?? 1, entries);
    }

    public void Scatter(IReadOnlyDictionary<string, Tensor> state)
    {
        var names = _engine.Mesh.Rank == 0 ? state.ToDictionary(pair => pair.Key, pair => new FieldInfo((int)pair.Value.dtype, pair.Value.dim() > 0, pair.Value.dim() == 0 ? Number(pair.Value) : 0)) : [];
        names = _engine.Mesh.World?.BroadcastObject(names, 0) ?? names;
        foreach (var flat in Flats())
        {
            var fields = flat.Parameters.Where(_states.ContainsKey).SelectMany(parameter => names.Keys.Where(name => IsFieldOf(name, parameter)).Select(name => name[(parameter.Name.Length + 1)..])).Distinct().Order(StringComparer.Ordinal);
            foreach (var field in fields)
            {
                var divided = flat.Parameters.Where(_states.ContainsKey).Where(parameter => names.TryGetValue($"{parameter.Name}.{field}", out var info) && info.IsDivided).ToHashSet();
                if (divided.Count > 0)
                {
                    var dtype = (ScalarType)names[$"{divided.First().Name}.{field}"].Dtype;
                    ShardColumn.Scatter(flat, _engine.Mesh, dtype, parameter => state.GetValueOrDefault($"{parameter.Name}.{field}"), (parameter, part) =>
                    {
                        if (divided.Contains(parameter)) Set(parameter, field, part.to(parameter.Local.device, copy: true));
                    });
                }

                foreach (var parameter in flat.Parameters.Where(_states.ContainsKey))
                    if (names.TryGetValue($"{parameter.Name}.{field}", out var info) && !info.IsDivided) Set(parameter, field, tensor(info.Number, (ScalarType)info.Dtype));
            }
        }
    }

    public void LoadParts(IReadOnlyList<ShardedStateDict> parts)
    {
        using var noGrad = no_grad();
        foreach (var parameter in _states.Keys)
        {
            foreach (var name in parts.SelectMany(part => part.Entries.Keys).Where(name => IsFieldOf(name, parameter)).Distinct().ToList())
            {
                using var scope = NewDisposeScope();
                var entries = parts.Select(part => part.Entries.GetValueOrDefault(name)).OfType<ShardedTensor>().ToList();
                var value = entries[0].Shape.Count == 0 ? entries.MaxBy(entry => Number(entry.Local))!.Local.reshape([]).clone() : ShardColumn.Assemble(parameter, name, parts).to(parameter.Local.device);
                Set(parameter, name[(parameter.Name.Length + 1)..], value);
            }
        }
    }

    private static bool IsFieldOf(string name, ShardedParameter parameter) =>
        name.Length > parameter.Name.Length + 1 && name[parameter.Name.Length] == '.' && name.StartsWith(parameter.Name, StringComparison.Ordinal) && !name[(parameter.Name.Length + 1)..].Contains('.', StringComparison.Ordinal);

    private static double Number(Tensor value)
    {
        using var number = value.to(ScalarType.Float64);
        return number.item<double>();
    }

    private IEnumerable<FlatParameter> Flats() => _engine.Units.SelectMany(unit => unit.Flats).Where(flat => flat.Parameters.Any(_states.ContainsKey));

    private Tensor? ValueOf(ShardedParameter parameter, string field) =>
        _states.TryGetValue(parameter, out var state) ? state.Values().FirstOrDefault(pair => pair.Name == field).Value : null;

    private void Set(ShardedParameter parameter, string field, Tensor value)
    {
        if (!_states[parameter].Set(field, value))
            throw new ArgumentException($"The optimizer has no '{field}': the state dict is of an optimizer of another class.", nameof(field));
    }

    /// <summary>
    /// The fields that any rank has for parameters of a buffer. A rank without a part of a parameter has never stepped it, so the largest
    /// of the numbers counts.
    /// </summary>
    private List<AgreedField> Agree(FlatParameter flat)
    {
        using var scope = NewDisposeScope();
        var mine = flat.Parameters.Where(_states.ContainsKey).SelectMany(parameter => _states[parameter].Values()
            .Select(pair => new AgreedField(parameter.Name, pair.Name, (int)pair.Value.dtype, pair.Value.dim() > 0, pair.Value.dim() == 0 ? Number(pair.Value) : 0))).ToArray();
        var all = _engine.Mesh.World?.AllGatherObject(mine) ?? [mine];
        return [.. all.SelectMany(fields => fields).GroupBy(field => (field.Parameter, field.Name)).Select(group => group.MaxBy(field => field.Number)!)];
    }

    internal sealed record AgreedField(string Parameter, string Name, int Dtype, bool IsDivided, double Number);

    internal sealed record FieldInfo(int Dtype, bool IsDivided, double Number);
}
