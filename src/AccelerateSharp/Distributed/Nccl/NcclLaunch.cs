using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Turns one checked operation into NCCL calls on a communicator's stream. Returns as soon as they are queued.</summary>
/// <remarks>
/// What only moves data moves bytes, so it works for every dtype there is. Where <see cref="NeedsLibtorch"/> says so, libtorch's current
/// stream must be the communicator's: what it converts and copies then runs, and allocates, in line with NCCL's own.
/// </remarks>
internal sealed class NcclLaunch(nint communicator, CudaStream stream, int rank, int size)
{
    /// <exception cref="NotSupportedException">NCCL cannot do this, whatever the peers do.</exception>
    internal static void Validate(CollectiveCall call)
    {
        if (IsReduction(call)) NcclReduction.For(call.Dtype, call.ReduceOp);
    }

    /// <summary>Whether libtorch takes part on the stream: to convert from and to a dtype that NCCL knows, or to copy a result home.</summary>
    internal static bool NeedsLibtorch(CollectiveCall call) =>
        call.NeedsCopyBack || (IsReduction(call) && NcclReduction.For(call.Dtype, call.ReduceOp).ComputeIn is not null);

    /// <param name="call">What to do, as <see cref="CollectiveCall"/> says for each kind.</param>
    /// <param name="token">One Int32 on the GPU, for the barrier to reduce.</param>
    internal void Run(CollectiveCall call, Tensor token)
    {
        switch (call.Kind)
        {
            case CollectiveKind.Barrier: AllReduce(token, token, NcclReduction.For(ScalarType.Int32, ReduceOp.Max)); break;
            case CollectiveKind.AllReduce: Reduce(call, AllReduce); break;
            case CollectiveKind.Reduce: Reduce(call); break;
            case CollectiveKind.ReduceScatter: Reduce(call, ReduceScatter); break;
            case CollectiveKind.Broadcast: Broadcast(call); break;
            case CollectiveKind.AllGather: AllGather(call); break;
            case CollectiveKind.AllGatherUneven: AllGatherUneven(call); break;
            case CollectiveKind.AllToAll: AllToAll(call); break;
            case CollectiveKind.Gather: Gather(call); break;
            case CollectiveKind.Scatter: Scatter(call); break;
            default: throw new NotSupportedException($"NCCL has no operation {call.Kind}.");
        }
    }

    /// <summary>One number from the first member of a pair to the second, to have everything in place that a transfer needs.</summary>
    internal void Greet(Tensor token)
    {
        if (rank == 0) Send(token, peer: 1);
        else Receive(token, peer: 0);
    }

    /// <summary>Sends to, or receives from, a rank of this communicator.</summary>
    internal void Transfer(CollectiveCall call, int peer)
    {
        if (call.Kind == CollectiveKind.Send) Send(call.Inputs[0], peer);
        else Receive(call.Outputs[0], peer);
    }

    private static bool IsReduction(CollectiveCall call) => call.Kind is CollectiveKind.AllReduce or CollectiveKind.Reduce or CollectiveKind.ReduceScatter;

    private void AllReduce(Tensor source, Tensor destination, NcclReduction reduction) => NcclLibrary.Check(
        NcclNative.ncclAllReduce(Address(source), Address(destination), Numbers(destination, reduction), reduction.Type, reduction.Operation, communicator, stream.Raw),
        nameof(NcclNative.ncclAllReduce), communicator);

    private void ReduceScatter(Tensor source, Tensor destination, NcclReduction reduction) => NcclLibrary.Check(
        NcclNative.ncclReduceScatter(Address(source), Address(destination), Numbers(destination, reduction), reduction.Type, reduction.Operation, communicator, stream.Raw),
        nameof(NcclNative.ncclReduceScatter), communicator);

    /// <summary>Runs a reduction whose result every rank keeps, by way of another dtype where NCCL lacks the tensor's own.</summary>
    private static void Reduce(CollectiveCall call, Action<Tensor, Tensor, NcclReduction> reduce)
    {
        var destination = call.Outputs[0];
        var source = call.Inputs.Count > 0 ? call.Inputs[0] : destination;
        var reduction = NcclReduction.For(call.Dtype, call.ReduceOp);
        if (reduction.ComputeIn is not { } dtype)
        {
            reduce(source, destination, reduction);
            return;
        }

        using var noGrad = no_grad();
        using var wideSource = source.to(dtype);
        using var wideResult = empty(destination.shape, dtype, destination.device);
        reduce(wideSource, wideResult, reduction);
        destination.copy_(wideResult);
    }

    /// <summary>In place on the root; the others' tensors stay as they are.</summary>
    private void Reduce(CollectiveCall call)
    {
        var tensor = call.Outputs[0];
        var reduction = NcclReduction.For(call.Dtype, call.ReduceOp);
        using var noGrad = no_grad();
        using var wide = reduction.ComputeIn is { } dtype ? tensor.to(dtype) : null;
        var address = Address(wide ?? tensor);
        NcclLibrary.Check(
            NcclNative.ncclReduce(address, address, Numbers(tensor, reduction), reduction.Type, reduction.Operation, call.Root, communicator, stream.Raw),
            nameof(NcclNative.ncclReduce), communicator);
        if (wide is not null && rank == call.Root) tensor.copy_(wide);
    }

    private void Broadcast(CollectiveCall call)
    {
        var address = Address(call.Outputs[0]);
        NcclLibrary.Check(
            NcclNative.ncclBroadcast(address, address, (nuint)Bytes(call.Outputs[0]), NcclDataType.UInt8, call.Root, communicator, stream.Raw),
            nameof(NcclNative.ncclBroadcast), communicator);
    }

    private void AllGather(CollectiveCall call) => NcclLibrary.Check(
        NcclNative.ncclAllGather(Address(call.Inputs[0]), Address(call.Outputs[0]), (nuint)Bytes(call.Inputs[0]), NcclDataType.UInt8, communicator, stream.Raw),
        nameof(NcclNative.ncclAllGather), communicator);

    private void AllGatherUneven(CollectiveCall call)
    {
        using (new NcclGroup())
        {
            for (var peer = 0; peer < size; peer++)
            {
                if (peer == rank) continue;
                Send(call.Inputs[0], peer);
                Receive(call.Outputs[peer], peer);
            }
        }

        Copy(call.Inputs[0], call.Outputs[rank]);
    }

    private void AllToAll(CollectiveCall call)
    {
        var (source, destination) = (Address(call.Inputs[0]), Address(call.Outputs[0]));
        var element = call.Inputs[0].ElementSize;
        using var group = new NcclGroup();
        for (var peer = 0; peer < size; peer++)
        {
            var (sent, received) = (call.InputSplits[peer] * element, call.OutputSplits[peer] * element);
            Send(source, sent, peer);
            Receive(destination, received, peer);
            source += (nint)sent;
            destination += (nint)received;
        }
    }

    private void Gather(CollectiveCall call)
    {
        if (rank != call.Root)
        {
            Send(call.Inputs[0], call.Root);
            return;
        }

        using (new NcclGroup())
        {
            for (var peer = 0; peer < size; peer++)
                if (peer != rank) Receive(call.Outputs[peer], peer);
        }

        Copy(call.Inputs[0], call.Outputs[rank]);
    }

    private void Scatter(CollectiveCall call)
    {
        if (rank != call.Root)
        {
            Receive(call.Outputs[0], call.Root);
            return;
        }

        using (new NcclGroup())
        {
            for (var peer = 0; peer < size; peer++)
                if (peer != rank) Send(call.Inputs[peer], peer);
        }

        Copy(call.Inputs[rank], call.Outputs[0]);
    }

    private void Send(Tensor tensor, int peer) => Send(Address(tensor), Bytes(tensor), peer);

    private void Receive(Tensor tensor, int peer) => Receive(Address(tensor), Bytes(tensor), peer);

    /// <summary>Nothing is sent where there is nothing to send: both sides know the size.</summary>
    private void Send(nint source, long bytes, int peer)
    {
        if (bytes > 0)
            NcclLibrary.Check(NcclNative.ncclSend(source, (nuint)bytes, NcclDataType.UInt8, peer, communicator, stream.Raw), nameof(NcclNative.ncclSend), communicator);
    }

    private void Receive(nint destination, long bytes, int peer)
    {
        if (bytes > 0)
            NcclLibrary.Check(NcclNative.ncclRecv(destination, (nuint)bytes, NcclDataType.UInt8, peer, communicator, stream.Raw), nameof(NcclNative.ncclRecv), communicator);
    }

    private void Copy(Tensor source, Tensor destination)
    {
        if (Address(source) != Address(destination)) CudaDriver.CopyAsync(Address(destination), Address(source), Bytes(source), stream.Raw);
    }

    private static nint Address(Tensor tensor) => TensorData.Pointer(tensor);

    private static long Bytes(Tensor tensor) => tensor.numel() * tensor.ElementSize;

    private static nuint Numbers(Tensor tensor, NcclReduction reduction) => (nuint)(tensor.numel() * reduction.Numbers);

    /// <summary>Calls between its making and its disposal start together: sends and receives of one exchange cannot wait for each other.</summary>
    private readonly ref struct NcclGroup
    {
        public NcclGroup() => NcclLibrary.Check(NcclNative.ncclGroupStart(), nameof(NcclNative.ncclGroupStart));

        public void Dispose() => NcclLibrary.Check(NcclNative.ncclGroupEnd(), nameof(NcclNative.ncclGroupEnd));
    }
}
