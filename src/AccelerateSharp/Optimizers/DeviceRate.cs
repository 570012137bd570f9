using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>A group's learning rate in device memory, where a captured CUDA graph reads it anew at each replay.</summary>
internal sealed class DeviceRate : IDisposable
{
    private readonly Dictionary<string, (Tensor Tensor, double Value)> _rates = [];

    /// <summary>The rate of a group, made when it is first asked for; null where rates stay on the host.</summary>
    public static DeviceRate? Of(Dictionary<ParamGroup, DeviceRate>? rates, ParamGroup group)
    {
        if (rates is null) return null;
        if (!rates.TryGetValue(group, out var rate)) rates[group] = rate = new DeviceRate();
        return rate;
    }

    /// <summary>The same tensor at every step; written only when the learning rate has changed.</summary>
    public Tensor On(Device device, double value)
    {
        var key = device.ToString();
        if (!_rates.TryGetValue(key, out var rate))
        {
            rate = (empty([], dtype: ScalarType.Float32, device: device).DetachFromDisposeScope(), double.NaN);
        }

        if (!rate.Value.Equals(value))
        {
            using Scalar scalar = value;
            rate.Tensor.fill_(scalar);
            _rates[key] = (rate.Tensor, value);
        }

        return rate.Tensor;
    }

    public void Dispose()
    {
        foreach (var (tensor, _) in _rates.Values) tensor.Dispose();
        _rates.Clear();
    }
}
