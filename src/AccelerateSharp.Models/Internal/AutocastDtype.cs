using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Internal;

/// <summary>The dtype in which matrix products compute on this thread now.</summary>
internal static class AutocastDtype
{
    /// <returns>False where autocast is off.</returns>
    public static bool TryGet(DeviceType device, out ScalarType dtype)
    {
        dtype = default;
        if (device is not (DeviceType.CPU or DeviceType.CUDA) || !Autocast.IsEnabled(device)) return false;
        dtype = Autocast.Dtype(device);
        return true;
    }
}
