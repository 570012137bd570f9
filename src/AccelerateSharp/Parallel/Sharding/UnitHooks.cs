using AccelerateSharp.Data.Trees;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Runs around the <c>call</c> of a unit's module: the forward of a unit, and what its backward needs to know of it.</summary>
internal sealed class UnitHooks(ShardingEngine engine, ShardedUnit unit, BackwardErrors errors) : IForwardHooks
{
    private UnitExecution? _execution;

    public object?[] BeforeForward(object?[] arguments)
    {
        _execution = engine.BeforeForward(unit);
        // A unit's temporaries would otherwise live until the batch's dispose scope ends. Without gradients the module may keep some of them.
        if (_execution is not null && !unit.IsRoot) unit.OpenScope();
        if (unit.IsRoot && engine.InputDtype is { } dtype) arguments = Map(arguments, tensor => tensor.is_floating_point() && tensor.dtype != dtype ? tensor.to(dtype) : tensor);
        if (_execution is { } execution && unit.WatchesInputs)
        {
            execution.AwaitsInputs = Watch(ref arguments, () => engine.OnInputGradients(execution));
        }

        return arguments;
    }

    public object? AfterForward(object? result)
    {
        var execution = _execution;
        _execution = null;
        engine.AfterForward(unit, execution);
        if (execution is null) return result;
        object?[] results = [result];
        if (!unit.Flats.All(flat => flat.IsWhole)) Watch(ref results, () => engine.OnOutputGradients(execution));
        // What nobody can look into may hold tensors of the forward.
        if (TensorTree.Others(result).Exists(leaf => leaf is not null and not string && !leaf.GetType().IsValueType)) unit.AbandonScope();
        else unit.CloseScope(TensorTree.Tensors(results));
        return results[0];
    }

    private static object?[] Map(object?[] values, Func<Tensor, Tensor> map) => [.. values.Select(value => TensorTree.Map(value, map))];

    /// <summary>Puts one autograd node behind all tensors that take part in backward; it passes their gradients on.</summary>
    /// <returns>False where there is none.</returns>
    private bool Watch(ref object?[] values, Action onGradients)
    {
        var watched = values.SelectMany(TensorTree.Tensors).Where(tensor => tensor.requires_grad).Distinct<Tensor>(ReferenceEqualityComparer.Instance).ToList();
        if (watched.Count == 0) return false;
        var aliases = watched.ConvertAll(tensor => tensor.detach());
        var attached = AutogradNode.Attach(watched, aliases, gradients =>
        {
            onGradients();
            for (var i = 0; i < gradients.Count; i++)
                if (gradients[i] is { } gradient) gradients.PassOn(i, gradient);
        }, errors);
        if (!attached) return false;
        var replacements = watched.Zip(aliases).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<Tensor>)ReferenceEqualityComparer.Instance);
        values = Map(values, tensor => replacements.GetValueOrDefault(tensor, tensor));
        return true;
    }
}
