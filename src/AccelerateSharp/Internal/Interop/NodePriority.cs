using static AccelerateSharp.Internal.Interop.AutogradNative;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Makes the engine run a node of ours the moment its gradients are complete.</summary>
/// <remarks>
/// Of the nodes that are ready, the engine takes the one with the highest sequence number, which counts up as the forward pass
/// creates nodes: backward walks the forward in reverse. A node over a layer's parameters is created before the layer runs, and
/// where parameters of all layers are replaced at the start of the forward, all our nodes have the lowest numbers of the graph:
/// they would run after the whole backward, and no communication could overlap with it. libtorch solves the same problem for its
/// own gradient accumulators by giving them the highest number there is. There is no exported setter, so the field is written
/// directly - after a proof, made once per process, that it is where it is expected: two fresh nodes must hold there exactly the
/// numbers that <c>at::sequence_number::peek</c> foretold. And each node is asked again before it is written. Where the proof
/// fails (another build of libtorch), the nodes keep their natural number: slower, never wrong.
/// </remarks>
internal static unsafe class NodePriority
{
    /// <summary>In <c>torch::autograd::Node</c>: after the virtual table and the weak pointer of <c>enable_shared_from_this</c>.</summary>
    private const int SequenceNumberOffset = 24;

    private const ulong First = ulong.MaxValue;

    private static readonly Lazy<bool> _isKnown = new(Prove);

    /// <summary>Whether the nodes of this process run as soon as they are ready.</summary>
    internal static bool IsEnabled => _isKnown.Value;

    /// <summary>Creates the native node for <paramref name="callbacks"/>, first in the engine's order where that is possible.</summary>
    internal static NodePointer CreateFirst(NodeCallbacks callbacks)
    {
        if (!IsEnabled) return THSAutograd_CSharpNode_ctor(callbacks.ApplyPointer, callbacks.DeletedPointer);
        var expected = PeekSequenceNumber();
        var node = THSAutograd_CSharpNode_ctor(callbacks.ApplyPointer, callbacks.DeletedPointer);
        if (node.Shared != 0 && *SequenceNumber(node) == expected) *SequenceNumber(node) = First;
        return node;
    }

    /// <summary>The first word of a <c>std::shared_ptr</c> is the object.</summary>
    private static ulong* SequenceNumber(NodePointer node) => (ulong*)(*(byte**)node.Shared + SequenceNumberOffset);

    private static bool Prove()
    {
        try
        {
            return HoldsForetoldNumber() && HoldsForetoldNumber();
        }
        catch (EntryPointNotFoundException)
        {
            return false;
        }
    }

    private static bool HoldsForetoldNumber()
    {
        var expected = PeekSequenceNumber();
        var callbacks = NodeCallbacks.Rent(0, static _ => { }, BackwardErrors.Shared);
        var node = THSAutograd_CSharpNode_ctor(callbacks.ApplyPointer, callbacks.DeletedPointer);
        if (node.Shared == 0)
        {
            callbacks.Deleted();
            NativeErrors.Check();
        }
        // The counter is per thread and moves by one: the next number is another one, so a match twice is no accident.
        var holds = *SequenceNumber(node) == expected && PeekSequenceNumber() == expected + 1;
        THSAutograd_CSharpNode_disposeWeakPtr(node);
        THSAutograd_CSharpNode_disposeSharedPtr(node);
        return holds;
    }
}
