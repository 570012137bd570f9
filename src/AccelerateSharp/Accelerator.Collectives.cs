using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <summary>Joins a tensor, or every tensor of a nested structure, of all processes along dimension 0, in rank order.</summary>
    /// <param name="value">Tensors of one shape on all ranks; a tensor without dimensions counts as one row.</param>
    /// <returns>The same structure with tensors of shape [processes × rows, …]. In a job of one process the tensors themselves.</returns>
    /// <exception cref="CollectiveMismatchException">The shapes differ between ranks: use <see cref="PadAcrossProcesses{T}"/> first.</exception>
    public T Gather<T>(T value) => ProcessGroup is { } group ? Map(value, tensor => Gather(group, tensor), nameof(Gather)) : value;

    /// <summary>Joins lists of all processes, in rank order. The items travel as JSON.</summary>
    public IReadOnlyList<T> GatherObject<T>(IReadOnlyList<T> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        return ProcessGroup is { } group ? [.. group.AllGatherObject(items.ToArray()).SelectMany(part => part)] : items;
    }

    /// <summary>Like <see cref="Gather{T}"/>, without the samples that a loader repeats to complete its last batch.</summary>
    /// <remarks>Call it once for each batch, inside of the loop over a prepared loader, with one row for each sample.</remarks>
    public T GatherForMetrics<T>(T value)
    {
        var gathered = Gather(value);
        return RowsWithoutRepeats() is { } rows ? Map(gathered, tensor => tensor.dim() > 0 && tensor.shape[0] > rows ? tensor.narrow(0, 0, rows) : tensor, nameof(GatherForMetrics)) : gathered;
    }

    /// <summary>Like <see cref="GatherObject{T}"/>, without the items that belong to repeated samples: one item for each sample.</summary>
    public IReadOnlyList<T> GatherObjectForMetrics<T>(IReadOnlyList<T> items)
    {
        var gathered = GatherObject(items);
        return RowsWithoutRepeats() is { } rows ? [.. gathered.Take(rows)] : gathered;
    }

    /// <summary>Combines a tensor, or every tensor of a nested structure, of all processes element by element.</summary>
    /// <param name="value">Tensors of one shape on all ranks; they are left as they are.</param>
    /// <param name="reduction"><c>sum</c> (default), <c>mean</c>, <c>min</c>, <c>max</c>, <c>product</c> or <c>none</c> (a copy).</param>
    /// <param name="scale">Factor on the result.</param>
    /// <exception cref="ArgumentException">There is no such reduction.</exception>
    public T Reduce<T>(T value, string reduction = "sum", double scale = 1.0)
    {
        ReduceOp? operation = reduction switch
        {
            "sum" => ReduceOp.Sum,
            "mean" => ReduceOp.Avg,
            "min" => ReduceOp.Min,
            "max" => ReduceOp.Max,
            "product" => ReduceOp.Product,
            "none" => null,
            _ => throw new ArgumentException($"Accelerator.Reduce: reduction '{reduction}' is not one of sum, mean, min, max, product, none.", nameof(reduction)),
        };
        return Map(value, tensor => Reduce(tensor, operation, scale), nameof(Reduce));
    }

    /// <summary>Pads a tensor, or every tensor of a nested structure, to the largest size of that dimension on any process.</summary>
    /// <param name="value">Tensors that differ between ranks in one dimension only.</param>
    /// <param name="dim">The dimension, negative from the end. A tensor that lacks it is left as it is.</param>
    /// <param name="padIndex">What to pad with.</param>
    /// <param name="padFirst">Pad at the start instead of the end.</param>
    public T PadAcrossProcesses<T>(T value, int dim = 0, double padIndex = 0, bool padFirst = false) =>
        ProcessGroup is { } group ? Map(value, tensor => Pad(group, tensor, dim, padIndex, padFirst), nameof(PadAcrossProcesses)) : value;

    /// <summary>Overwrites a tensor, or every tensor of a nested structure, with that of one process.</summary>
    /// <returns>The value itself.</returns>
    public T Broadcast<T>(T value, int fromProcess = 0)
    {
        if (ProcessGroup is { } group) TensorTree.ForEach(value, tensor => group.Broadcast(tensor, fromProcess));
        return value;
    }

    /// <summary>One process' value, on every process. It travels as JSON.</summary>
    public T BroadcastObject<T>(T value, int fromProcess = 0) => ProcessGroup is { } group ? group.BroadcastObject(value, fromProcess) : value;

    /// <summary>Replaces the items of a list by those of one process.</summary>
    public void BroadcastObjectList<T>(IList<T> items, int fromProcess = 0)
    {
        ArgumentNullException.ThrowIfNull(items);
        var received = BroadcastObject(items.ToArray(), fromProcess);
        for (var i = 0; i < items.Count; i++) items[i] = received[i];
    }

    private static T Map<T>(T value, Func<Tensor, Tensor> function, string operation)
    {
        if (TensorTree.TryFindOther(value, out _))
            throw new ArgumentException($"Accelerator.{operation} takes tensors, nested in tuples, lists, dictionaries or records; {typeof(T).Name} holds something else. Use the Object form for other values.", nameof(value));
        return TensorTree.Map(value, function);
    }

    private static Tensor Gather(ProcessGroup group, Tensor tensor)
    {
        using var scope = NewDisposeScope();
        var rows = (tensor.dim() == 0 ? tensor.reshape(1) : tensor).detach().contiguous();
        var gathered = empty([rows.shape[0] * group.Size, .. rows.shape[1..]], rows.dtype, rows.device);
        group.AllGather(gathered, rows);
        return gathered.MoveToOuterDisposeScope();
    }

    private Tensor Reduce(Tensor tensor, ReduceOp? operation, double scale)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var result = tensor.detach().clone();
        if (operation is { } op && ProcessGroup is { } group)
        {
            // A mean of integers is not an integer.
            if (op == ReduceOp.Avg && !result.is_floating_point() && !result.is_complex()) result = result.to(ScalarType.Float32);
            group.AllReduce(result, op);
        }

        if (scale != 1.0) result = result * scale;
        return result.MoveToOuterDisposeScope();
    }

    private static Tensor Pad(ProcessGroup group, Tensor tensor, int dim, double padIndex, bool padFirst)
    {
        var dims = (int)tensor.dim();
        if (dim >= dims || dim < -dims) return tensor;
        if (dim < 0) dim += dims;
        var size = tensor.shape[dim];
        var largest = group.AllGatherObject(size).Max();
        if (size == largest) return tensor;
        using var scope = NewDisposeScope();
        long[] shape = [.. tensor.shape];
        shape[dim] = largest - size;
        var padding = full(shape, padIndex, tensor.dtype, tensor.device);
        return (padFirst ? cat([padding, tensor], dim) : cat([tensor, padding], dim)).MoveToOuterDisposeScope();
    }

    /// <summary>How many rows of a gathered last batch are samples of their own; null where all are.</summary>
    private int? RowsWithoutRepeats() => GradientState is { EndOfDataLoader: true, Remainder: > 0 } state ? state.Remainder : null;
}
