using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The C exports from which TorchSharp builds its custom autograd functions, taken without its managed layer.</summary>
internal static unsafe partial class AutogradNative
{
    /// <summary><c>CSharpNodePtr</c>: one strong and one weak pointer to the native node, each on the heap.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct NodePointer
    {
        public nint Shared;
        public nint Weak;
    }

    /// <summary><c>TensorArray</c>: tensor handles that native code reads and does not free.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly struct TensorArray(nint* items, int count)
    {
        public readonly nint* Items = items;
        public readonly long Count = count;
    }

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial NodePointer THSAutograd_CSharpNode_ctor(nint apply, nint deleted);

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial void THSAutograd_CSharpNode_disposeSharedPtr(NodePointer node);

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial void THSAutograd_CSharpNode_disposeWeakPtr(NodePointer node);

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial void THSAutograd_CSharpNode_setNextEdges(NodePointer node, TensorArray inputs, byte isExecutable);

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial void THSAutograd_CSharpNode_clearInputMetadata(NodePointer node);

    [LibraryImport(NativeLibraries.TorchSharp)]
    internal static partial void THSAutograd_Function_wrapOutputs(
        TensorArray inputs, TensorArray nonDifferentiable, TensorArray dirty, TensorArray outputs, NodePointer node,
        delegate* unmanaged[Cdecl]<nuint, nint*> allocator);

    /// <summary><c>at::sequence_number::peek()</c>: the number that the next autograd node made on this thread will take.</summary>
    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at15sequence_number4peekEv")]
    internal static partial ulong PeekSequenceNumber();

    /// <summary><c>torch::autograd::get_current_graph_task_keep_graph()</c>, of the backward that runs on this thread.</summary>
    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN5torch8autograd33get_current_graph_task_keep_graphEv")]
    internal static partial byte GetKeepsGraph();
}
