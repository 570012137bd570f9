using System.Runtime.InteropServices;
using TorchSharp;

namespace AccelerateSharp.Distributed;

/// <summary>Where a tensor's elements are.</summary>
internal static partial class TensorData
{
    /// <summary>The address of the first element, on the tensor's own device; the caller keeps the tensor alive.</summary>
    public static nint Pointer(torch.Tensor tensor) => THSTensor_data(tensor.Handle);

    [LibraryImport("LibTorchSharp")]
    private static partial nint THSTensor_data(nint handle);
}
