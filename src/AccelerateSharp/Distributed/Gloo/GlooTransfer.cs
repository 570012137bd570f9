using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>One send or receive: a header with small data inside, and a second message for large data once the header agrees.</summary>
internal sealed unsafe class GlooTransfer
{
    private static readonly int _capacity = GlooHeader.Size + GlooHeader.InlineCapacity;
    private readonly GroupContext _group;
    private readonly GlooContext _context;
    private readonly CollectiveCall _call;
    private readonly torch.Tensor _tensor;
    private readonly long _bytes;
    private readonly GlooHeader _own;
    private byte* _message;
    private nint _headerOp;
    private nint _dataOp;

    private GlooTransfer(GroupContext group, GlooContext context, CollectiveCall call)
    {
        _group = group;
        _context = context;
        _call = call;
        _tensor = call.Kind == CollectiveKind.Send ? call.Inputs[0] : call.Outputs[0];
        _bytes = _tensor.numel() * _tensor.ElementSize;
        _own = GlooHeader.Of(call, _tensor.numel());
    }

    private bool IsInline => _bytes <= GlooHeader.InlineCapacity;

    private long Timeout => (long)_group.Timeout.TotalMilliseconds;

    /// <summary>Hands the operation to the transport, which keeps the order of the calls; never waits for the peer.</summary>
    public static GlooTransfer Post(GroupContext group, GlooContext context, CollectiveCall call)
    {
        var transfer = new GlooTransfer(group, context, call);
        try
        {
            transfer.Post();
            return transfer;
        }
        catch
        {
            transfer.Free();
            throw;
        }
    }

    /// <summary>Waits for the end, on the thread that wants to know it.</summary>
    public void Finish()
    {
        try
        {
            GlooNative.Check(GlooNative.asg_op_wait(_headerOp, Timeout));
            if (_call.Kind == CollectiveKind.Receive) FinishReceive();
            else if (_dataOp != 0) GlooNative.Check(GlooNative.asg_op_wait(_dataOp, Timeout));
        }
        finally
        {
            Free();
        }
    }

    private ulong Tag(bool data) => ((ulong)_call.Tag << 38) | ((ulong)_call.SequenceNumber << 1) | (data ? 1UL : 0UL);

    private void Post()
    {
        _message = (byte*)NativeMemory.Alloc((nuint)_capacity);
        nint op;
        if (_call.Kind == CollectiveKind.Receive)
        {
            GlooNative.Check(GlooNative.asg_receive(_context.Pointer, _call.Root, Tag(data: false), (nint)_message, _capacity, &op));
            _headerOp = op;
            return;
        }
        var header = _own;
        header.InlineBytes = IsInline ? (int)_bytes : 0;
        Unsafe.WriteUnaligned(_message, header);
        if (IsInline) NativeMemory.Copy((void*)TensorData.Pointer(_tensor), _message + GlooHeader.Size, (nuint)_bytes);
        GlooNative.Check(GlooNative.asg_send(_context.Pointer, _call.Root, Tag(data: false), (nint)_message, GlooHeader.Size + header.InlineBytes, &op));
        _headerOp = op;
        if (IsInline) return;
        GlooNative.Check(GlooNative.asg_send(_context.Pointer, _call.Root, Tag(data: true), TensorData.Pointer(_tensor), _bytes, &op));
        _dataOp = op;
    }

    private void FinishReceive()
    {
        var sent = Unsafe.ReadUnaligned<GlooHeader>(_message);
        if (sent.Dtype != _own.Dtype || !sent.SameShape(_own)) throw Mismatch(sent);
        if (IsInline)
        {
            NativeMemory.Copy(_message + GlooHeader.Size, (void*)TensorData.Pointer(_tensor), (nuint)_bytes);
        }
        else
        {
            nint op;
            GlooNative.Check(GlooNative.asg_receive(_context.Pointer, _call.Root, Tag(data: true), TensorData.Pointer(_tensor), _bytes, &op));
            _dataOp = op;
            GlooNative.Check(GlooNative.asg_op_wait(_dataOp, Timeout));
        }
        _call.CopyBack();
    }

    private CollectiveMismatchException Mismatch(GlooHeader sent)
    {
        var shapes = $"rank {_group.Ranks[_call.Root]}: {sent.Describe()}; rank {_group.GlobalRank}: {_call.Describe()}";
        return new CollectiveMismatchException(
            $"{Messages.Where(_group.Health, _call)}: sender and receiver do not agree. {shapes}. Send and receive tensors of the same dtype and shape.")
        {
            Rank = _group.GlobalRank,
            Collective = Messages.Name(_call.Kind),
            SequenceNumber = _call.SequenceNumber,
            Shapes = shapes,
        };
    }

    private void Free()
    {
        if (_dataOp != 0) GlooNative.asg_op_destroy(_dataOp);
        if (_headerOp != 0) GlooNative.asg_op_destroy(_headerOp);
        NativeMemory.Free(_message);
        _dataOp = 0;
        _headerOp = 0;
        _message = null;
    }
}
