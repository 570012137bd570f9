using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Takes the memory away from a tensor that autograd still holds, and gives it back later.</summary>
/// <remarks>
/// A gathered parameter is needed in forward and again in backward, and its memory is wanted by others in between. Everything that
/// was computed from it, views included, holds the storage and not the memory: once the storage is filled again with the same
/// values, backward reads those. No version counter moves, so autograd has nothing to complain about. What reads the tensor while
/// it is free reads nothing valid: that is the caller's promise.
/// </remarks>
internal static partial class TensorStorage
{
    private static readonly TorchOperator _resizeStorage = TorchOperator.Get("aten::resize_(Tensor(a!) self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor(a!)");
    private static readonly TorchOperator _setSource = TorchOperator.Get("aten::set_.source_Tensor(Tensor(a!) self, Tensor source) -> Tensor(a!)");
    private static readonly TorchOperator _setData = TorchOperator.Get("aten::set_data(Tensor(a!) self, Tensor new_data) -> ()");

    /// <summary>A handle on the storage of <paramref name="tensor"/>: another tensor without a history, over the same memory.</summary>
    /// <remarks>Freeing and refilling go through it, because the tensor itself keeps its shape for autograd.</remarks>
    internal static Tensor ControlOf(Tensor tensor)
    {
        using var grad = no_grad();
        var control = empty(0, tensor.dtype, tensor.device);
        _setSource.Call(control, tensor);
        return control;
    }

    /// <summary>Releases the memory behind <paramref name="control"/> and every tensor that shares its storage.</summary>
    internal static void Free(Tensor control)
    {
        THSStorage_set_nbytes(control.Handle, 0);
        NativeErrors.Check();
        // Only an operator that asks for more than the storage says it has makes libtorch allocate, and so drop the old memory.
        Resize(control, 1);
    }

    /// <summary>Gives the storage room for <paramref name="elements"/> again, with undefined contents: write them next.</summary>
    internal static void Allocate(Tensor control, long elements)
    {
        THSStorage_set_nbytes(control.Handle, 0);
        NativeErrors.Check();
        Resize(control, elements);
    }

    /// <summary>Size of the storage, which all views share, in bytes.</summary>
    internal static long ByteCount(Tensor tensor)
    {
        var count = THSStorage_nbytes(tensor.Handle);
        NativeErrors.Check();
        return (long)count;
    }

    /// <summary>Address of the storage's first byte: equal for tensors that share memory, zero when there is none.</summary>
    internal static nint Address(Tensor tensor)
    {
        var address = THSStorage_data_ptr(tensor.Handle);
        NativeErrors.Check();
        return address;
    }

    /// <summary>Makes a leaf hold other memory, shape included, while its identity, its <c>.grad</c> and its place in modules stay.</summary>
    /// <remarks>For the parameters of native-backed modules, which cannot be given another tensor.</remarks>
    internal static void SetData(Tensor leaf, Tensor data) => _setData.Call(leaf, data);

    private static void Resize(Tensor control, long elements)
    {
        using var grad = no_grad();
        _resizeStorage.Call(control, new[] { elements });
    }

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial void THSStorage_set_nbytes(nint tensor, nuint bytes);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial nuint THSStorage_nbytes(nint tensor);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial nint THSStorage_data_ptr(nint tensor);
}
