using System.Reflection;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The states of an optimizer that was made before its parameters were divided.</summary>
internal static class ShardedOptimizerState
{
    /// <summary>Cuts every state tensor that is shaped like a whole parameter to this rank's part. Doing it twice changes nothing more.</summary>
    public static void Divide(Optimizer optimizer, IReadOnlyList<ShardingEngine> engines)
    {
        if (optimizer is not OptimizerHelper managed) return;
        using var noGrad = no_grad();
        foreach (var (parameter, state) in managed.parameters().Zip(managed.state_dict().State))
        {
            var sharded = engines.Select(engine => engine.Find(parameter)).FirstOrDefault(found => found is not null);
            if (sharded is null) continue;
            if (optimizer is FusedOptimizer fused)
            {
                Divide(fused, parameter, sharded);
                continue;
            }

            foreach (var field in TensorFields(state))
            {
                if (field.GetValue(state) is not Tensor tensor || !tensor.shape.SequenceEqual(sharded.Shape)) continue;
                using var scope = NewDisposeScope();
                var part = tensor.is_meta ? zeros(sharded.LocalCount, tensor.dtype) : PartOf(tensor, sharded);
                if (part.is_floating_point()) part = part.to(sharded.Local.dtype);
                field.SetValue(state, part.to(sharded.Local.device).clone().DetachFromDisposeScope());
                tensor.Dispose();
            }
        }
    }

    /// <summary>Our own optimizers say what they keep, in dtypes of their own choice.</summary>
    private static void Divide(FusedOptimizer optimizer, Parameter parameter, ShardedParameter sharded)
    {
        var state = optimizer.StateOf(parameter);
        if (!state.Values.Any(tensor => tensor.shape.SequenceEqual(sharded.Shape))) return;
        using var scope = NewDisposeScope();
        optimizer.LoadState(parameter, [.. state.Select(item => KeyValuePair.Create(
            item.Key, !item.Value.shape.SequenceEqual(sharded.Shape) ? item.Value
                : item.Value.is_meta ? zeros(sharded.LocalCount, item.Value.dtype, sharded.Local.device) : PartOf(item.Value, sharded)))]);
    }

    private static Tensor PartOf(Tensor tensor, ShardedParameter sharded) =>
        tensor.detach().reshape(-1).narrow(0, sharded.LocalStart, sharded.LocalCount);

    /// <summary>The tensors of a state, in the order of their names.</summary>
    public static IEnumerable<FieldInfo> TensorFields(OptimizerState state) => state.GetType()
        .GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
        .Where(field => field.FieldType == typeof(Tensor))
        .OrderBy(field => field.Name, StringComparer.Ordinal);
}
