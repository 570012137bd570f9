using System.Runtime.CompilerServices;
using AccelerateSharp.Data.Trees;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Recomputation;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Runs around the <c>call</c> of a unit's module: the forward of a unit, and what its backward needs to know of it.</summary>
internal sealed class UnitHooks : IForwardHooks, IDisposable
{
    private static readonly ConditionalWeakTable<Module, UnitHooks> _all = [];

    private readonly ShardingEngine _engine;
    private readonly ShardedUnit _unit;
    private readonly BackwardErrors _errors;
    private readonly IDisposable _hooks;
    private ModuleRecomputation? _recomputation;
    private UnitExecution? _execution;

    public UnitHooks(ShardingEngine engine, ShardedUnit unit, BackwardErrors errors)
    {
        (_engine, _unit, _errors) = (engine, unit, errors);
        // One gather serves the second computation and its backward, where these happen inside of the unit.
        if (CheckpointHooks.TakeOff(unit.Module)) _recomputation = new ModuleRecomputation(unit.Module);
        _hooks = ModuleHooks.Around(unit.Module, this);
        _all.AddOrUpdate(unit.Module, this);
    }

    /// <summary>From now on the activations of a unit are computed again in backward.</summary>
    /// <returns>False if the module is no unit.</returns>
    public static bool Checkpoint(Module module)
    {
        if (!_all.TryGetValue(module, out var hooks)) return false;
        hooks._recomputation ??= new ModuleRecomputation(module);
        return true;
    }

    public object?[] BeforeForward(object?[] arguments)
    {
        // Its parameters are in place already: detached copies, which gradients leave by the call's own node.
        if (_recomputation is { IsRunning: true }) return arguments;
        _execution = _engine.BeforeForward(_unit);
        // Without gradients the module may keep some of its temporaries.
        if (_execution is not null && !_unit.IsRoot) _unit.Scope.Open();
        if (_unit.IsRoot && _engine.InputDtype is { } dtype) arguments = Map(arguments, tensor => tensor.is_floating_point() && tensor.dtype != dtype ? tensor.to(dtype) : tensor);
        if (_execution is { } execution && _unit.WatchesInputs)
        {
            execution.AwaitsInputs = Watch(ref arguments, () => _engine.OnInputGradients(execution));
        }

        _unit.Call = _execution is null ? null : _recomputation?.Begin(arguments);
        return arguments;
    }

    public object? AfterForward(object? result)
    {
        if (_recomputation is { IsRunning: true }) return result;
        var execution = _execution;
        _execution = null;
        if (_unit.Call is { } call)
        {
            _unit.Call = null;
            result = call.End(result, _recomputation!.IsTrained);
        }

        _engine.AfterForward(_unit, execution);
        if (execution is null) return result;
        object?[] results = [result];
        if (!_unit.Flats.All(flat => flat.IsWhole)) Watch(ref results, () => _engine.OnOutputGradients(execution));
        _unit.Scope.Close(result, TensorTree.Tensors(results));
        return results[0];
    }

    public void Dispose()
    {
        _hooks.Dispose();
        if (_all.TryGetValue(_unit.Module, out var hooks) && hooks == this) _all.Remove(_unit.Module);
    }

    private static object?[] Map(object?[] values, Func<Tensor, Tensor> map) => [.. values.Select(value => TensorTree.Map(value, map))];

    /// <summary>Puts one autograd node behind all tensors that take part in backward; it passes their gradients on.</summary>
    /// <returns>False where there is none.</returns>
    private bool Watch(ref object?[] values, Action onGradients)
    {
        var watched = values.SelectMany(TensorTree.Tensors).Where(tensor => !tensor.IsInvalid && tensor.requires_grad).Distinct<Tensor>(ReferenceEqualityComparer.Instance).ToList();
        if (watched.Count == 0) return false;
        var aliases = watched.ConvertAll(tensor => tensor.detach());
        var attached = AutogradNode.Attach(watched, aliases, gradients =>
        {
            onGradients();
            for (var i = 0; i < gradients.Count; i++)
                if (gradients[i] is { } gradient) gradients.PassOn(i, gradient);
        }, _errors);
        if (!attached) return false;
        var replacements = watched.Zip(aliases).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<Tensor>)ReferenceEqualityComparer.Instance);
        values = Map(values, tensor => replacements.GetValueOrDefault(tensor, tensor));
        return true;
    }
}
