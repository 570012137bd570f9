using System.Runtime.InteropServices;
using TorchSharp;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>Runs one collective: headers first, which also carry small data; then the data itself.</summary>
internal sealed unsafe class GlooCollectives(GroupContext group, GlooContext context)
{
    private static readonly TimeSpan _settlePatience = TimeSpan.FromSeconds(2);
    private readonly int _stride = (GlooHeader.StageBytes(group.Size) + 63) / 64 * 64;
    private readonly int _dataOffset = GlooHeader.Size + (16 * group.Size);
    private readonly byte[] _message = GC.AllocateArray<byte>(GlooHeader.StageBytes(group.Size), pinned: true);
    private readonly byte[] _arrived = GC.AllocateArray<byte>(group.Size, pinned: true);
    private readonly nint[] _send = GC.AllocateArray<nint>(group.Size, pinned: true);
    private readonly nint[] _receive = GC.AllocateArray<nint>(group.Size, pinned: true);
    private readonly long[] _sendBytes = GC.AllocateArray<long>(group.Size, pinned: true);
    private readonly long[] _receiveBytes = GC.AllocateArray<long>(group.Size, pinned: true);
    private readonly long _timeout = (long)group.Timeout.TotalMilliseconds;
    private byte* _block;

    public void Run(CollectiveCall call)
    {
        Plan(call);
        ExchangeHeaders(call);
        if (call.Kind != CollectiveKind.Barrier) Move(call);
        call.CopyBack();
    }

    /// <summary>Tells the others that this rank is going, and waits briefly until they have read what it sent.</summary>
    public void Leave(TimeSpan patience)
    {
        if (group.Size == 1) return;
        var header = new GlooHeader { Kind = GlooHeader.Leaving };
        MemoryMarshal.Write(_message, header);
        byte* block;
        fixed (byte* message = _message, arrived = _arrived)
        {
            // A peer that is gone already, or busy, is its own affair.
            _ = GlooNative.asg_exchange(context.Pointer, message, _dataOffset, (long)patience.TotalMilliseconds, &block, arrived);
        }
    }

    private int Rank => group.Rank;

    private int Size => group.Size;

    private ref GlooHeader Header(int rank) => ref *(GlooHeader*)(_block + ((nint)_stride * rank));

    private ReadOnlySpan<long> InputSplits(int rank) => new(_block + ((nint)_stride * rank) + GlooHeader.Size, Size);

    private ReadOnlySpan<long> OutputSplits(int rank) => new(_block + ((nint)_stride * rank) + GlooHeader.Size + (8 * Size), Size);

    private nint InlineData(int rank) => (nint)(_block + ((nint)_stride * rank) + _dataOffset);

    private bool IsInline(int rank) => Header(rank).InlineBytes > 0;

    /// <summary>What goes from here to each rank and comes from each rank here, in bytes; unused where the data is reduced.</summary>
    private void Plan(CollectiveCall call)
    {
        Array.Clear(_sendBytes);
        Array.Clear(_receiveBytes);
        var offset = 0L;
        switch (call.Kind)
        {
            case CollectiveKind.AllGather:
                for (var r = 0; r < Size; r++)
                {
                    SetSend(r, call.Inputs[0], 0, Bytes(call.Inputs[0]));
                    SetReceive(r, call.Outputs[0], Bytes(call.Inputs[0]) * r, Bytes(call.Inputs[0]));
                }
                break;
            case CollectiveKind.AllGatherUneven:
                for (var r = 0; r < Size; r++)
                {
                    SetSend(r, call.Inputs[0], 0, Bytes(call.Inputs[0]));
                    SetReceive(r, call.Outputs[r], 0, Bytes(call.Outputs[r]));
                }
                break;
            case CollectiveKind.AllToAll:
                var element = call.Inputs[0].ElementSize;
                for (var r = 0; r < Size; r++)
                {
                    SetSend(r, call.Inputs[0], offset, call.InputSplits[r] * element);
                    offset += call.InputSplits[r] * element;
                }
                offset = 0;
                for (var r = 0; r < Size; r++)
                {
                    SetReceive(r, call.Outputs[0], offset, call.OutputSplits[r] * element);
                    offset += call.OutputSplits[r] * element;
                }
                break;
            case CollectiveKind.Gather:
                SetSend(call.Root, call.Inputs[0], 0, Bytes(call.Inputs[0]));
                if (Rank == call.Root)
                    for (var r = 0; r < Size; r++) SetReceive(r, call.Outputs[r], 0, Bytes(call.Outputs[r]));
                break;
            case CollectiveKind.Scatter:
                SetReceive(call.Root, call.Outputs[0], 0, Bytes(call.Outputs[0]));
                if (Rank == call.Root)
                    for (var r = 0; r < Size; r++) SetSend(r, call.Inputs[r], 0, Bytes(call.Inputs[r]));
                break;
        }
    }

    private void ExchangeHeaders(CollectiveCall call)
    {
        var buffer = Buffer(call);
        var header = GlooHeader.Of(call, buffer?.numel() ?? 0);
        header.InlineBytes = WriteInline(call, _message.AsSpan(_dataOffset));
        MemoryMarshal.Write(_message, header);
        var splits = MemoryMarshal.Cast<byte, long>(_message.AsSpan(GlooHeader.Size, 16 * Size));
        splits.Clear();
        call.InputSplits.CopyTo(splits);
        call.OutputSplits.CopyTo(splits[Size..]);
        byte* block = null;
        int status;
        fixed (byte* message = _message, arrived = _arrived)
            status = GlooNative.asg_exchange(context.Pointer, message, _dataOffset + header.InlineBytes, _timeout, &block, arrived);
        _block = block;
        if (status == GlooNative.ASG_TIMEOUT)
        {
            int[] missing = [.. Enumerable.Range(0, Size).Where(r => _arrived[r] == 0).Select(r => group.Ranks[r])];
            throw Messages.Timeout(group.Health, call, missing);
        }
        GlooNative.Check(status);
        try
        {
            new GlooAgreement(group, call, this).Check();
        }
        catch (CollectiveMismatchException)
        {
            // Every rank is here now. None may close its connections before all have read the headers that tell them why.
            Leave(_settlePatience);
            throw;
        }
    }

    internal GlooHeader HeaderOf(int rank) => Header(rank);

    internal ReadOnlySpan<long> InputSplitsOf(int rank) => InputSplits(rank);

    internal ReadOnlySpan<long> OutputSplitsOf(int rank) => OutputSplits(rank);

    /// <summary>The tensor whose shape and size the ranks must agree on.</summary>
    private static torch.Tensor? Buffer(CollectiveCall call) => call.Kind switch
    {
        CollectiveKind.Barrier => null,
        CollectiveKind.AllReduce or CollectiveKind.Reduce or CollectiveKind.Broadcast or CollectiveKind.Scatter => call.Outputs[0],
        _ => call.Inputs[0],
    };

    /// <summary>Appends small data to the message; 0 where this rank has none to send, or it is large.</summary>
    private int WriteInline(CollectiveCall call, Span<byte> target)
    {
        switch (call.Kind)
        {
            case CollectiveKind.AllReduce:
            case CollectiveKind.Reduce:
            case CollectiveKind.Broadcast when Rank == call.Root:
                return Copy(call.Outputs[0], target);
            case CollectiveKind.AllGather:
            case CollectiveKind.AllGatherUneven:
            case CollectiveKind.ReduceScatter:
            case CollectiveKind.AllToAll:
            case CollectiveKind.Gather:
                return Copy(call.Inputs[0], target);
            case CollectiveKind.Scatter when Rank == call.Root:
                if (call.Inputs.Sum(Bytes) > GlooHeader.InlineCapacity) return 0;
                var written = 0;
                foreach (var input in call.Inputs) written += Copy(input, target[written..]);
                return written;
            default:
                return 0;
        }
    }

    private void Move(CollectiveCall call)
    {
        switch (call.Kind)
        {
            case CollectiveKind.AllReduce:
                if (IsInline(Rank)) ReduceInline(call, call.Outputs[0], 0);
                else if (Bytes(call.Outputs[0]) > 0)
                    GlooNative.Check(GlooNative.asg_all_reduce(
                        context.Pointer, TensorData.Pointer(call.Outputs[0]), call.Outputs[0].numel(), (int)call.Dtype, (int)call.ReduceOp, _timeout));
                break;
            case CollectiveKind.Reduce:
                if (IsInline(Rank))
                {
                    if (Rank == call.Root) ReduceInline(call, call.Outputs[0], 0);
                }
                else if (Bytes(call.Outputs[0]) > 0)
                {
                    GlooNative.Check(GlooNative.asg_reduce(
                        context.Pointer, TensorData.Pointer(call.Outputs[0]), call.Outputs[0].numel(), (int)call.Dtype, (int)call.ReduceOp, call.Root, _timeout));
                }
                break;
            case CollectiveKind.ReduceScatter:
                if (IsInline(Rank)) ReduceInline(call, call.Outputs[0], Bytes(call.Outputs[0]) * Rank);
                else if (Bytes(call.Outputs[0]) > 0)
                    GlooNative.Check(GlooNative.asg_reduce_scatter(
                        context.Pointer, TensorData.Pointer(call.Inputs[0]), TensorData.Pointer(call.Outputs[0]), call.Outputs[0].numel(), (int)call.Dtype, (int)call.ReduceOp, _timeout));
                break;
            case CollectiveKind.Broadcast:
                var bytes = Bytes(call.Outputs[0]);
                if (!IsInline(call.Root)) GlooNative.Check(GlooNative.asg_broadcast(context.Pointer, TensorData.Pointer(call.Outputs[0]), bytes, call.Root, _timeout));
                else if (Rank != call.Root) NativeMemory.Copy((void*)InlineData(call.Root), (void*)TensorData.Pointer(call.Outputs[0]), (nuint)bytes);
                break;
            default:
                TakeInline(call);
                fixed (nint* send = _send, receive = _receive)
                fixed (long* sendBytes = _sendBytes, receiveBytes = _receiveBytes)
                    GlooNative.Check(GlooNative.asg_exchange_v(context.Pointer, send, sendBytes, receive, receiveBytes, _timeout));
                break;
        }
    }

    private void ReduceInline(CollectiveCall call, torch.Tensor output, long offset)
    {
        for (var r = 0; r < Size; r++) _send[r] = InlineData(r) + (nint)offset;
        fixed (nint* inputs = _send)
            GlooNative.Check(GlooNative.asg_reduce_local((int)call.Dtype, (int)call.ReduceOp, TensorData.Pointer(output), inputs, Size, output.numel()));
    }

    /// <summary>Takes what came with the headers and strikes it off the plan on both sides.</summary>
    private void TakeInline(CollectiveCall call)
    {
        for (var r = 0; r < Size; r++)
        {
            if (IsInline(r) && _receiveBytes[r] > 0)
            {
                NativeMemory.Copy((void*)(InlineData(r) + (nint)OffsetForHere(call, r)), (void*)_receive[r], (nuint)_receiveBytes[r]);
                _receiveBytes[r] = 0;
            }
            if (IsInline(Rank)) _sendBytes[r] = 0;
        }
    }

    /// <summary>Where this rank's part begins in the data of another.</summary>
    private long OffsetForHere(CollectiveCall call, int from)
    {
        if (call.Kind is not (CollectiveKind.AllToAll or CollectiveKind.Scatter)) return 0;
        var element = (call.Kind == CollectiveKind.AllToAll ? call.Inputs[0] : call.Outputs[0]).ElementSize;
        var offset = 0L;
        foreach (var part in InputSplits(from)[..Rank]) offset += part * element;
        return offset;
    }

    private void SetSend(int rank, torch.Tensor tensor, long offset, long bytes)
    {
        _send[rank] = TensorData.Pointer(tensor) + (nint)offset;
        _sendBytes[rank] = bytes;
    }

    private void SetReceive(int rank, torch.Tensor tensor, long offset, long bytes)
    {
        _receive[rank] = TensorData.Pointer(tensor) + (nint)offset;
        _receiveBytes[rank] = bytes;
    }

    private static long Bytes(torch.Tensor tensor) => tensor.numel() * tensor.ElementSize;

    private static int Copy(torch.Tensor tensor, Span<byte> target)
    {
        var bytes = Bytes(tensor);
        if (bytes is 0 or > GlooHeader.InlineCapacity) return 0;
        new ReadOnlySpan<byte>((void*)TensorData.Pointer(tensor), (int)bytes).CopyTo(target);
        return (int)bytes;
    }
}
