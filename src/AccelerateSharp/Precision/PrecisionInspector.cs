using AccelerateSharp.Checkpoints.Safetensors;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Precision;

/// <summary>Looks at a model's tensors, its synchroniser and its optimizers, and says in which dtypes they work.</summary>
/// <param name="autocast">What autocast computes in; null where it is off.</param>
/// <param name="optimizers">Those that may train the model.</param>
/// <param name="float8">The model's linear layers under fp8; null under another precision.</param>
internal sealed class PrecisionInspector(ScalarType? autocast, IReadOnlyList<Optimizer> optimizers, Fp8Model? float8)
{
    private readonly Dictionary<nint, IReadOnlyList<ScalarType>> _states = States(optimizers);

    public IReadOnlyList<PrecisionReportRow> Rows(Module model, IGradientSynchronizer? synchronizer)
    {
        var rows = model.parameters().Distinct<Parameter>(ReferenceEqualityComparer.Instance)
            .Select(parameter => (Row: Describe(parameter, synchronizer), IsEmpty: parameter.numel() == 0))
            .ToList();
        // The optimizer passes over parameters of which this rank holds no part: it would treat them like their neighbours.
        var states = rows.Where(row => !row.IsEmpty).GroupBy(row => Kind(row.Row)).ToDictionary(group => group.Key, group => group.First().Row.OptimizerStates);
        return
        [
            .. rows.Select(row => row.IsEmpty ? row.Row with { OptimizerStates = states.GetValueOrDefault(Kind(row.Row)) } : row.Row)
                .GroupBy(row => row with { Parameters = 0 })
                .Select(group => group.Key with { Parameters = group.Sum(row => row.Parameters) }),
        ];
    }

    private static PrecisionReportRow Kind(PrecisionReportRow row) => row with { Parameters = 0, OptimizerStates = null };

    private PrecisionReportRow Describe(Parameter parameter, IGradientSynchronizer? synchronizer)
    {
        var engine = synchronizer as ShardingEngine;
        var flat = engine?.Units.SelectMany(unit => unit.Flats).FirstOrDefault(flat => flat.Parameters.Contains(engine.Find(parameter)));
        var weight = parameter.dtype;
        var gathered = flat?.ComputeDtype ?? weight;
        // An engine of one process has nobody to exchange with.
        var isReduced = engine is null ? synchronizer is not null : engine.Mesh.World is not null;
        // Autocast leaves float64 alone.
        var compute = autocast is { } narrow && TensorDtypes.IsFloatingPoint(gathered) && gathered != ScalarType.Float64 ? narrow : gathered;
        var trained = parameter.requires_grad;
        // What MS-AMP stores goes between the ranks as it is stored, apart from the rest.
        var stored = MsAmpWeight.TryFind(parameter, out var found) ? found : null;
        var reduced = stored is null ? engine?.Options.ReduceDtype ?? gathered : MsAmpWeight.Kind.Dtype();
        return new(
            engine?.Find(parameter)?.Shape.Aggregate(1L, static (product, size) => product * size) ?? parameter.numel(),
            stored?.Master is { } master ? $"{DtypeNames.Of(weight)}, master {DtypeNames.Of(master.dtype)}" : DtypeNames.Of(weight),
            DtypeNames.Of(autocast is not null && float8?.Multiplies(parameter) == true ? Float8Kinds.E4M3 : compute),
            trained ? DtypeNames.Of(parameter.grad?.dtype ?? weight) : null,
            trained && isReduced ? DtypeNames.Of(reduced) : null,
            _states.TryGetValue(TensorHandles.Identity(parameter), out var states) && states.Count > 0 ? string.Join(" + ", states.Select(DtypeNames.Of)) : null);
    }

    /// <summary>The dtypes of what is as large as a parameter, or a part of it; step counts are not.</summary>
    private static Dictionary<nint, IReadOnlyList<ScalarType>> States(IEnumerable<Optimizer> optimizers)
    {
        var states = new Dictionary<nint, IReadOnlyList<ScalarType>>();
        foreach (var optimizer in optimizers.OfType<OptimizerHelper>())
        {
            foreach (var (parameter, state) in optimizer.parameters().Zip(optimizer.state_dict().State))
            {
                var tensors = optimizer is FusedOptimizer fused
                    ? fused.StateOf(parameter).Values
                    : ShardedOptimizerState.TensorFields(state).Select(field => field.GetValue(state)).OfType<Tensor>();
                states[TensorHandles.Identity(parameter)] = [.. tensors.Where(tensor => !tensor.IsInvalid && tensor.dim() > 0).Select(tensor => tensor.dtype)];
            }
        }

        return states;
    }
}
