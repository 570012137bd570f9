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
        if (execution is null || unit.Flats.All(flat => flat.IsWhole)) return result;
        object?[] results = [result];
        Watch(ref results, () => engine.OnOutputGradients(execution));
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
