using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>What a TorchSharp tensor is made of: a pointer to an <c>at::Tensor</c>, which is a pointer to a <c>TensorImpl</c>.</summary>
/// <remarks>
/// Two <see cref="Tensor"/> objects, and two native handles, can name one <c>TensorImpl</c>; that last one is what autograd knows
/// as "the tensor" (its <c>.grad</c>, its <c>grad_fn</c>), and therefore what identity means here.
/// </remarks>
internal static unsafe partial class TensorHandles
{
    /// <summary>The field behind <see cref="Tensor.Handle"/>.</summary>
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "handle")]
    internal static extern ref nint Field(Tensor tensor);

    /// <summary>What autograd calls the same tensor. Zero for a disposed one.</summary>
    internal static nint Identity(Tensor tensor) => Identity(Field(tensor));

    /// <inheritdoc cref="Identity(Tensor)"/>
    internal static nint Identity(nint handle) => handle == 0 ? 0 : *(nint*)handle;

    /// <summary>A second handle to the same tensor, owned by the caller.</summary>
    internal static nint Duplicate(nint handle)
    {
        if (aoti_torch_new_tensor_handle(handle, out var duplicate) != 0)
            throw new InvalidOperationException("libtorch could not duplicate a tensor handle (aoti_torch_new_tensor_handle).");
        return duplicate;
    }

    /// <summary>Gives back a handle that the caller owns. Zero is allowed.</summary>
    internal static void Release(nint handle)
    {
        if (handle != 0) THSTensor_dispose(handle);
    }

    /// <summary>Makes a handle name another tensor, in place: whoever keyed something by the handle finds it again.</summary>
    internal static void Redirect(nint handle, nint other)
    {
        var duplicate = Duplicate(other);
        (*(nint*)handle, *(nint*)duplicate) = (*(nint*)duplicate, *(nint*)handle);
        Release(duplicate);
    }

    /// <summary>Address of the tensor's first element; zero where there is none.</summary>
    internal static nint DataPointer(Tensor tensor) => DataPointer(tensor.Handle);

    /// <inheritdoc cref="DataPointer(Tensor)"/>
    internal static nint DataPointer(nint handle)
    {
        if (aoti_torch_get_data_ptr(handle, out var address) != 0)
            throw new InvalidOperationException("libtorch could not tell where a tensor lies (aoti_torch_get_data_ptr).");
        return address;
    }

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_get_data_ptr(nint handle, out nint address);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_new_tensor_handle(nint handle, out nint duplicate);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial void THSTensor_dispose(nint handle);
}
