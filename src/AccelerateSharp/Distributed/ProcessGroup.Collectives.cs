using AccelerateSharp.Distributed;
using static TorchSharp.torch;

namespace AccelerateSharp;

public sealed partial class ProcessGroup
{
    /// <summary>Waits until every member has come here.</summary>
    public void Barrier() => _backend.Run(Prepare(new CollectiveCall { Kind = CollectiveKind.Barrier }));

    /// <inheritdoc cref="Barrier"/>
    public Work BarrierAsync() => _backend.Submit(Prepare(new CollectiveCall { Kind = CollectiveKind.Barrier }));

    /// <summary>Combines a tensor over all ranks; every rank ends with the same result.</summary>
    /// <param name="tensor">Input and output; the same shape and dtype on every rank. 16-bit floats are added in single precision on Gloo.</param>
    /// <param name="op">The reduction; the sum by default.</param>
    public void AllReduce(Tensor tensor, ReduceOp op = ReduceOp.Sum) => _backend.Run(AllReduceCall(tensor, op));

    /// <inheritdoc cref="AllReduce"/>
    public Work AllReduceAsync(Tensor tensor, ReduceOp op = ReduceOp.Sum) => _backend.Submit(AllReduceCall(tensor, op));

    /// <summary>Combines a tensor over all ranks; the result is on the root alone.</summary>
    /// <param name="tensor">Input, and output on the root; the same shape and dtype on every rank.</param>
    /// <param name="root">The rank within the group that receives the result.</param>
    /// <param name="op">The reduction; the sum by default.</param>
    public void Reduce(Tensor tensor, int root, ReduceOp op = ReduceOp.Sum) => _backend.Run(ReduceCall(tensor, root, op));

    /// <inheritdoc cref="Reduce"/>
    public Work ReduceAsync(Tensor tensor, int root, ReduceOp op = ReduceOp.Sum) => _backend.Submit(ReduceCall(tensor, root, op));

    /// <summary>Copies the root's tensor to every rank.</summary>
    /// <param name="tensor">Input on the root, output elsewhere; the same shape and dtype on every rank.</param>
    /// <param name="root">The rank within the group whose values are copied.</param>
    public void Broadcast(Tensor tensor, int root) => _backend.Run(BroadcastCall(tensor, root));

    /// <inheritdoc cref="Broadcast"/>
    public Work BroadcastAsync(Tensor tensor, int root) => _backend.Submit(BroadcastCall(tensor, root));

    /// <summary>Collects the inputs of all ranks, one after the other in the order of the ranks.</summary>
    /// <param name="output">Size times as many elements as the input, of any shape.</param>
    /// <param name="input">The same shape and dtype on every rank.</param>
    public void AllGather(Tensor output, Tensor input) => _backend.Run(AllGatherCall(output, input));

    /// <inheritdoc cref="AllGather(Tensor, Tensor)"/>
    public Work AllGatherAsync(Tensor output, Tensor input) => _backend.Submit(AllGatherCall(output, input));

    /// <inheritdoc cref="AllGather(Tensor, Tensor)"/>
    /// <param name="output">Size times as many elements as the input, of any shape.</param>
    /// <param name="input">The same shape and dtype on every rank.</param>
    /// <param name="tag">Which part of a whole this is, from 1: ranks that work on different parts of the same shape are told so.</param>
    internal Work AllGatherAsync(Tensor output, Tensor input, int tag) => _backend.Submit(AllGatherCall(output, input, tag));

    /// <summary>Collects the inputs of all ranks, which may differ in size.</summary>
    /// <param name="outputs">One tensor for each rank, with as many elements as that rank's input.</param>
    /// <param name="input">This rank's part; the same dtype on every rank.</param>
    public void AllGather(IReadOnlyList<Tensor> outputs, Tensor input) => _backend.Run(AllGatherCall(outputs, input));

    /// <inheritdoc cref="AllGather(IReadOnlyList{Tensor}, Tensor)"/>
    public Work AllGatherAsync(IReadOnlyList<Tensor> outputs, Tensor input) => _backend.Submit(AllGatherCall(outputs, input));

    /// <summary>Combines a tensor over all ranks and leaves each rank one part of the result: rank r gets the r-th.</summary>
    /// <param name="output">This rank's part.</param>
    /// <param name="input">Size times as many elements as the output; the same shape and dtype on every rank.</param>
    /// <param name="op">The reduction; the sum by default.</param>
    public void ReduceScatter(Tensor output, Tensor input, ReduceOp op = ReduceOp.Sum) => _backend.Run(ReduceScatterCall(output, input, op));

    /// <inheritdoc cref="ReduceScatter"/>
    public Work ReduceScatterAsync(Tensor output, Tensor input, ReduceOp op = ReduceOp.Sum) => _backend.Submit(ReduceScatterCall(output, input, op));

    /// <inheritdoc cref="ReduceScatter"/>
    /// <param name="output">This rank's part.</param>
    /// <param name="input">Size times as many elements as the output; the same shape and dtype on every rank.</param>
    /// <param name="op">The reduction.</param>
    /// <param name="tag">Which part of a whole this is, from 1.</param>
    internal Work ReduceScatterAsync(Tensor output, Tensor input, ReduceOp op, int tag) => _backend.Submit(ReduceScatterCall(output, input, op, tag));

    /// <summary>Sends one part of the input to each rank and receives one part from each, in the order of the ranks.</summary>
    /// <param name="output">What the ranks send here, one after the other.</param>
    /// <param name="input">What goes to the ranks, one after the other.</param>
    /// <param name="outputSplits">Rows of the first dimension from each rank; equal parts where null.</param>
    /// <param name="inputSplits">Rows of the first dimension for each rank; equal parts where null.</param>
    public void AllToAll(Tensor output, Tensor input, IReadOnlyList<long>? outputSplits = null, IReadOnlyList<long>? inputSplits = null) =>
        _backend.Run(AllToAllCall(output, input, outputSplits, inputSplits));

    /// <inheritdoc cref="AllToAll"/>
    public Work AllToAllAsync(Tensor output, Tensor input, IReadOnlyList<long>? outputSplits = null, IReadOnlyList<long>? inputSplits = null) =>
        _backend.Submit(AllToAllCall(output, input, outputSplits, inputSplits));

    /// <summary>Collects the inputs of all ranks on the root; they may differ in size.</summary>
    /// <param name="outputs">On the root one tensor for each rank, with as many elements as that rank's input; null elsewhere.</param>
    /// <param name="input">This rank's part; the same dtype on every rank.</param>
    /// <param name="root">The rank within the group that receives.</param>
    public void Gather(IReadOnlyList<Tensor>? outputs, Tensor input, int root) => _backend.Run(GatherCall(outputs, input, root));

    /// <inheritdoc cref="Gather"/>
    public Work GatherAsync(IReadOnlyList<Tensor>? outputs, Tensor input, int root) => _backend.Submit(GatherCall(outputs, input, root));

    /// <summary>Gives each rank one of the root's tensors; they may differ in size.</summary>
    /// <param name="output">This rank's part; the same dtype on every rank.</param>
    /// <param name="inputs">On the root one tensor for each rank, with as many elements as that rank's output; null elsewhere.</param>
    /// <param name="root">The rank within the group that sends.</param>
    public void Scatter(Tensor output, IReadOnlyList<Tensor>? inputs, int root) => _backend.Run(ScatterCall(output, inputs, root));

    /// <inheritdoc cref="Scatter"/>
    public Work ScatterAsync(Tensor output, IReadOnlyList<Tensor>? inputs, int root) => _backend.Submit(ScatterCall(output, inputs, root));

    /// <summary>Sends a tensor to one rank, which must receive one of the same shape and dtype.</summary>
    /// <param name="tensor">What to send.</param>
    /// <param name="peer">The receiving rank within the group.</param>
    /// <param name="tag">Tells messages between the same two ranks apart, 0 to 16,777,215; equal tags arrive in order. NCCL knows only 0.</param>
    public void Send(Tensor tensor, int peer, int tag = 0) => _backend.Run(SendCall(tensor, peer, tag));

    /// <inheritdoc cref="Send"/>
    public Work SendAsync(Tensor tensor, int peer, int tag = 0) => _backend.Submit(SendCall(tensor, peer, tag));

    /// <summary>Receives a tensor from one rank.</summary>
    /// <param name="tensor">Where to; of the shape and dtype that was sent.</param>
    /// <param name="peer">The sending rank within the group.</param>
    /// <param name="tag">The sender's tag.</param>
    public void Receive(Tensor tensor, int peer, int tag = 0) => _backend.Run(ReceiveCall(tensor, peer, tag));

    /// <inheritdoc cref="Receive"/>
    public Work ReceiveAsync(Tensor tensor, int peer, int tag = 0) => _backend.Submit(ReceiveCall(tensor, peer, tag));
}
