using static AccelerateSharp.Internal.Interop.AutogradNative;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>An autograd node of our own: "all gradients of these tensors are ready".</summary>
/// <remarks>
/// TorchSharp's managed <c>Function&lt;T&gt;</c> allocates a full copy of every output; this one costs a few small native objects.
/// </remarks>
internal static unsafe class AutogradNode
{
    /// <summary>Handles that <c>wrapOutputs</c> returns on this thread.</summary>
    [ThreadStatic]
    private static nint[]? _wrapped;

    /// <summary>The number of native nodes that exist now, for leak checks.</summary>
    internal static int Live => NodeCallbacks.Live;

    /// <summary>Inside of a callback: whether this backward leaves the graph in place for another one (<c>retain_graph</c>).</summary>
    internal static bool KeepsGraph => GetKeepsGraph() != 0;

    /// <summary>Makes <paramref name="outputs"/> the results of a new node over <paramref name="inputs"/>.</summary>
    /// <param name="inputs">The leaf parameters; those that need no gradient get no edge.</param>
    /// <param name="outputs">
    /// What the model computes with: detached tensors, usually <c>parameter.detach()</c>, which shares the memory. They become
    /// non-leaf tensors in place. Their number need not be that of the inputs.
    /// </param>
    /// <param name="onGradients">
    /// Called once per backward when the engine has every gradient of the outputs; on CUDA on another thread than the one that
    /// called backward, with gradient mode off. What it passes on goes to the inputs; otherwise their <c>.grad</c> is not touched.
    /// Not called when backward does not reach the outputs.
    /// </param>
    /// <param name="errors">Where an exception of the callback waits for the end of backward.</param>
    /// <param name="saved">What the callback needs of the forward; disposed when the node dies, whether backward came or not. Not taken over where the result is false.</param>
    /// <param name="first">Whether the engine runs the node before all others that are ready; false: in the order of the forward, like an operator's.</param>
    /// <returns>False if gradient mode is off or no input needs a gradient: then the outputs stay what they were, without a node.</returns>
    internal static bool Attach(
        IReadOnlyList<Tensor> inputs, IReadOnlyList<Tensor> outputs, Action<GradientSlots> onGradients, BackwardErrors? errors = null,
        IDisposable? saved = null, bool first = true)
    {
        if (!is_grad_enabled() || !inputs.Any(static input => input.requires_grad)) return false;
        foreach (var output in outputs)
            if (output.requires_grad)
                throw new ArgumentException("An output that already requires a gradient cannot become the output of a node: detach it first.", nameof(outputs));

        var callbacks = NodeCallbacks.Rent(inputs.Count, onGradients, errors ?? BackwardErrors.Shared, saved);
        var node = first ? NodePriority.CreateFirst(callbacks) : THSAutograd_CSharpNode_ctor(callbacks.ApplyPointer, callbacks.DeletedPointer);
        if (node.Shared == 0)
        {
            callbacks.Deleted();
            NativeErrors.Check();
        }
        try
        {
            Span<nint> inputHandles = inputs.Count <= 64 ? stackalloc nint[inputs.Count] : new nint[inputs.Count];
            for (var i = 0; i < inputs.Count; i++) inputHandles[i] = inputs[i].Handle;
            Span<nint> outputHandles = outputs.Count <= 64 ? stackalloc nint[outputs.Count] : new nint[outputs.Count];
            for (var i = 0; i < outputs.Count; i++) outputHandles[i] = outputs[i].Handle;
            fixed (nint* inputPointer = inputHandles, outputPointer = outputHandles)
            {
                var inputArray = new TensorArray(inputPointer, inputs.Count);
                THSAutograd_CSharpNode_setNextEdges(node, inputArray, isExecutable: 1);
                NativeErrors.Check();
                THSAutograd_CSharpNode_clearInputMetadata(node);
                NativeErrors.Check();
                Wrap(inputArray, new TensorArray(outputPointer, outputs.Count), node);
            }
            GC.KeepAlive(inputs);
            GC.KeepAlive(outputs);
        }
        finally
        {
            // From here on only the graph holds the node: it dies with the last tensor that was computed from the outputs.
            THSAutograd_CSharpNode_disposeWeakPtr(node);
            THSAutograd_CSharpNode_disposeSharedPtr(node);
        }
        return true;
    }

    /// <summary>Sets the node as the <c>grad_fn</c> of the outputs. The handles that come back name the very same tensors.</summary>
    private static void Wrap(TensorArray inputs, TensorArray outputs, NodePointer node)
    {
        _wrapped = null;
        THSAutograd_Function_wrapOutputs(inputs, default, default, outputs, node, &Allocate);
        NativeErrors.Check();
        var wrapped = _wrapped!;
        _wrapped = null;
        var same = true;
        for (var i = 0; i < wrapped.Length; i++)
        {
            same &= TensorHandles.Identity(wrapped[i]) == TensorHandles.Identity(outputs.Items[i]);
            TensorHandles.Release(wrapped[i]);
        }
        if (!same)
            throw new InvalidOperationException("libtorch wrapped an output of the autograd node in a new tensor: outputs must be detached tensors, none of them an input.");
    }

    [System.Runtime.InteropServices.UnmanagedCallersOnly(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvCdecl)])]
    private static nint* Allocate(nuint count)
    {
        // Pinned for good, so that native code may write to it after the return.
        _wrapped = GC.AllocateArray<nint>(Math.Max((int)count, 1), pinned: true);
        return (nint*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_wrapped, 0);
    }
}
