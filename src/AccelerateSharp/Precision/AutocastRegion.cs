using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision;

/// <summary>A prepared model's forward computes under autocast.</summary>
internal sealed class AutocastRegion(Device device, ScalarType dtype, AutocastKwargs options) : IForwardRegion
{
    public IDisposable Enter(bool nested) => Autocast.Enter(device.type, dtype, options.Enabled, options.CacheEnabled);
}
