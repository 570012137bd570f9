using AccelerateSharp.Distributed;
using static TorchSharp.torch;

namespace AccelerateSharp;

// Checks arguments on this rank and turns them into calls for the backend.
public sealed partial class ProcessGroup
{
    private const int MaxTag = (1 << 24) - 1;
    private readonly Dictionary<(CollectiveKind Kind, int Peer, int Tag), long> _transfers = [];
    private readonly Lock _numbers = new();
    private long _sequence;

    private CollectiveCall AllReduceCall(Tensor tensor, ReduceOp op)
    {
        CheckReducible(tensor, op, CollectiveKind.AllReduce);
        var call = Call(CollectiveKind.AllReduce, tensor, op: op);
        call.Outputs = [call.TakeOutput(tensor, isRead: true)];
        return Prepare(call);
    }

    private CollectiveCall ReduceCall(Tensor tensor, int root, ReduceOp op)
    {
        CheckReducible(tensor, op, CollectiveKind.Reduce);
        var call = Call(CollectiveKind.Reduce, tensor, CheckRank(root, nameof(root)), op);
        call.Outputs = [call.TakeOutput(tensor, isRead: true)];
        return Prepare(call);
    }

    private CollectiveCall BroadcastCall(Tensor tensor, int root)
    {
        var call = Call(CollectiveKind.Broadcast, Checked(tensor, CollectiveKind.Broadcast), CheckRank(root, nameof(root)));
        call.Outputs = [call.TakeOutput(tensor, isRead: true)];
        return Prepare(call);
    }

    private CollectiveCall AllGatherCall(Tensor output, Tensor input, int tag = 0)
    {
        Checked(output, CollectiveKind.AllGather);
        CheckSame(output, Checked(input, CollectiveKind.AllGather), CollectiveKind.AllGather);
        if (output.numel() != input.numel() * Size)
            throw new ArgumentException($"all-gather over {Size} ranks: the output must have {input.numel()} x {Size} elements and has {output.numel()}.", nameof(output));
        var call = Call(CollectiveKind.AllGather, input, tag: tag);
        call.Inputs = [call.TakeInput(input)];
        call.Outputs = [call.TakeOutput(output, isRead: false)];
        return Prepare(call);
    }

    private CollectiveCall AllGatherCall(IReadOnlyList<Tensor> outputs, Tensor input)
    {
        CheckList(outputs, Checked(input, CollectiveKind.AllGatherUneven), CollectiveKind.AllGatherUneven, nameof(outputs));
        if (outputs[Rank].numel() != input.numel())
            throw new ArgumentException($"all-gather: the output for this rank ({Rank}) must have the input's {input.numel()} elements and has {outputs[Rank].numel()}.", nameof(outputs));
        var call = Call(CollectiveKind.AllGatherUneven, input, outputSplits: [.. outputs.Select(t => t.numel())]);
        call.Inputs = [call.TakeInput(input)];
        call.Outputs = [.. outputs.Select(t => call.TakeOutput(t, isRead: false))];
        return Prepare(call);
    }

    private CollectiveCall ReduceScatterCall(Tensor output, Tensor input, ReduceOp op, int tag = 0)
    {
        CheckReducible(input, op, CollectiveKind.ReduceScatter);
        CheckSame(Checked(output, CollectiveKind.ReduceScatter), input, CollectiveKind.ReduceScatter);
        if (input.numel() != output.numel() * Size)
            throw new ArgumentException($"reduce-scatter over {Size} ranks: the input must have {output.numel()} x {Size} elements and has {input.numel()}.", nameof(input));
        var call = Call(CollectiveKind.ReduceScatter, input, op: op, tag: tag);
        call.Inputs = [call.TakeInput(input)];
        call.Outputs = [call.TakeOutput(output, isRead: false)];
        return Prepare(call);
    }

    private CollectiveCall AllToAllCall(Tensor output, Tensor input, IReadOnlyList<long>? outputSplits, IReadOnlyList<long>? inputSplits)
    {
        CheckSame(Checked(output, CollectiveKind.AllToAll), Checked(input, CollectiveKind.AllToAll), CollectiveKind.AllToAll);
        var call = Call(
            CollectiveKind.AllToAll, input, inputSplits: Splits(input, inputSplits, nameof(inputSplits)), outputSplits: Splits(output, outputSplits, nameof(outputSplits)));
        call.Inputs = [call.TakeInput(input)];
        call.Outputs = [call.TakeOutput(output, isRead: false)];
        return Prepare(call);
    }

    private CollectiveCall GatherCall(IReadOnlyList<Tensor>? outputs, Tensor input, int root)
    {
        Checked(input, CollectiveKind.Gather);
        CheckRank(root, nameof(root));
        if (Rank == root) CheckList(outputs, input, CollectiveKind.Gather, nameof(outputs));
        else if (outputs is { Count: > 0 }) throw new ArgumentException($"gather: only the root (rank {root}) has outputs; pass null on rank {Rank}.", nameof(outputs));
        var call = Call(CollectiveKind.Gather, input, root, outputSplits: Rank == root ? [.. outputs!.Select(t => t.numel())] : []);
        call.Inputs = [call.TakeInput(input)];
        if (Rank == root) call.Outputs = [.. outputs!.Select(t => call.TakeOutput(t, isRead: false))];
        return Prepare(call);
    }

    private CollectiveCall ScatterCall(Tensor output, IReadOnlyList<Tensor>? inputs, int root)
    {
        Checked(output, CollectiveKind.Scatter);
        CheckRank(root, nameof(root));
        if (Rank == root) CheckList(inputs, output, CollectiveKind.Scatter, nameof(inputs));
        else if (inputs is { Count: > 0 }) throw new ArgumentException($"scatter: only the root (rank {root}) has inputs; pass null on rank {Rank}.", nameof(inputs));
        var call = Call(CollectiveKind.Scatter, output, root, inputSplits: Rank == root ? [.. inputs!.Select(t => t.numel())] : []);
        if (Rank == root) call.Inputs = [.. inputs!.Select(call.TakeInput)];
        call.Outputs = [call.TakeOutput(output, isRead: false)];
        return Prepare(call);
    }

    private CollectiveCall SendCall(Tensor tensor, int peer, int tag)
    {
        var call = Call(CollectiveKind.Send, Checked(tensor, CollectiveKind.Send), CheckPeer(peer), tag: CheckTag(tag));
        call.Inputs = [call.TakeInput(tensor)];
        return Prepare(call);
    }

    private CollectiveCall ReceiveCall(Tensor tensor, int peer, int tag)
    {
        var call = Call(CollectiveKind.Receive, Checked(tensor, CollectiveKind.Receive), CheckPeer(peer), tag: CheckTag(tag));
        call.Outputs = [call.TakeOutput(tensor, isRead: false)];
        return Prepare(call);
    }

    private static CollectiveCall Call(
        CollectiveKind kind, Tensor tensor, int root = -1, ReduceOp op = ReduceOp.Sum, int tag = 0, long[]? inputSplits = null, long[]? outputSplits = null) => new()
        {
            Kind = kind,
            ReduceOp = op,
            Root = root,
            Tag = tag,
            Dtype = tensor.dtype,
            Shape = tensor.shape,
            InputSplits = inputSplits ?? [],
            OutputSplits = outputSplits ?? [],
        };

    /// <summary>Is shown every operation before it starts: to weigh what a strategy sends.</summary>
    internal Action<CollectiveCall>? Observer { get; set; }

    /// <summary>Last step before the backend: numbers the call, and refuses it on a broken group.</summary>
    private CollectiveCall Prepare(CollectiveCall call)
    {
        try
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            call.SequenceNumber = Number(call);
            Health.ThrowIfFailed(call);
            Observer?.Invoke(call);
            return call;
        }
        catch
        {
            call.Release();
            throw;
        }
    }

    /// <summary>Collectives are counted together, transfers by direction, peer and tag: both ends then count alike.</summary>
    private long Number(CollectiveCall call)
    {
        lock (_numbers)
        {
            if (!call.IsPointToPoint) return ++_sequence;
            var key = (call.Kind, call.Root, call.Tag);
            return _transfers[key] = _transfers.GetValueOrDefault(key) + 1;
        }
    }

    private Tensor Checked(Tensor tensor, CollectiveKind kind)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (tensor.device_type != _backend.DeviceType)
        {
            throw new ArgumentException(
                $"{Messages.Name(kind)}: group '{_context.Name}' runs on {Backend}, which takes {_backend.DeviceType} tensors; this one is on {tensor.device}. "
                + (Backend == "gloo" ? "Move it with .cpu(), or use a group with the nccl backend." : "Move it with .cuda(), or use a group with the gloo backend."));
        }
        if (_backend.DeviceIndex >= 0 && tensor.device_index != _backend.DeviceIndex)
        {
            throw new ArgumentException(
                $"{Messages.Name(kind)}: group '{_context.Name}' runs on cuda:{_backend.DeviceIndex} on this rank; this tensor is on {tensor.device}. Create it on the device of this process (its local rank).");
        }
        if (tensor.is_sparse) throw new ArgumentException($"{Messages.Name(kind)}: sparse tensors cannot be exchanged; use .to_dense().");
        return tensor;
    }

    private void CheckReducible(Tensor tensor, ReduceOp op, CollectiveKind kind)
    {
        Checked(tensor, kind);
        var isFloat = tensor.dtype is ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float32 or ScalarType.Float64;
        var isComplex = tensor.dtype is ScalarType.ComplexFloat32 or ScalarType.ComplexFloat64;
        var isInteger = tensor.dtype is ScalarType.Byte or ScalarType.Int8 or ScalarType.Int16 or ScalarType.Int32 or ScalarType.Int64 or ScalarType.Bool;
        if (!isFloat && !isComplex && !isInteger)
            throw new ArgumentException($"{Messages.Name(kind)}: tensors of dtype {tensor.dtype} cannot be reduced; convert to Float32 or BFloat16 first.");
        if (op == ReduceOp.Avg && isInteger)
            throw new ArgumentException($"{Messages.Name(kind)}: the mean of {tensor.dtype} tensors is not defined; use Sum and divide, or convert to a floating-point dtype.");
        if (op is ReduceOp.Min or ReduceOp.Max or ReduceOp.Product && isComplex)
            throw new ArgumentException($"{Messages.Name(kind)}: {op} is not defined for {tensor.dtype} tensors; only Sum and Avg are.");
        if (!Enum.IsDefined(op)) throw new ArgumentOutOfRangeException(nameof(op), op, "There is no such reduction.");
    }

    private static void CheckSame(Tensor output, Tensor input, CollectiveKind kind)
    {
        if (output.dtype != input.dtype)
            throw new ArgumentException($"{Messages.Name(kind)}: output and input must have one dtype; they have {output.dtype} and {input.dtype}.", nameof(output));
    }

    private void CheckList(IReadOnlyList<Tensor>? tensors, Tensor reference, CollectiveKind kind, string parameter)
    {
        if (tensors is null || tensors.Count != Size)
            throw new ArgumentException($"{Messages.Name(kind)}: needs one tensor for each of the {Size} ranks, got {tensors?.Count.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "null"}.", parameter);
        foreach (var tensor in tensors) CheckSame(Checked(tensor, kind), reference, kind);
    }

    private int CheckRank(int rank, string parameter) => rank >= 0 && rank < Size
        ? rank
        : throw new ArgumentOutOfRangeException(parameter, rank, $"Ranks of this group go from 0 to {Size - 1}; global ranks have to be looked up in ProcessGroup.Ranks.");

    private int CheckPeer(int peer) => CheckRank(peer, nameof(peer)) != Rank
        ? peer
        : throw new ArgumentException($"Rank {Rank} cannot send to or receive from itself.", nameof(peer));

    private static int CheckTag(int tag) => tag is >= 0 and <= MaxTag
        ? tag
        : throw new ArgumentOutOfRangeException(nameof(tag), tag, $"A tag must be between 0 and {MaxTag}.");

    /// <summary>Rows to elements, checked against the tensor.</summary>
    private long[] Splits(Tensor tensor, IReadOnlyList<long>? rows, string parameter)
    {
        var count = tensor.numel();
        if (rows is null)
        {
            if (count % Size != 0)
                throw new ArgumentException($"all-to-all: {count} elements cannot be cut into {Size} equal parts; pass {parameter}.", parameter);
            return [.. Enumerable.Repeat(count / Size, Size)];
        }
        var length = tensor.dim() == 0 ? 1 : tensor.shape[0];
        if (rows.Count != Size || rows.Any(r => r < 0) || rows.Sum() != length)
            throw new ArgumentException($"all-to-all: {parameter} must be {Size} numbers of rows that add up to {length}; got [{string.Join(", ", rows)}].", parameter);
        var row = length == 0 ? 0 : count / length;
        return [.. rows.Select(r => r * row)];
    }
}
