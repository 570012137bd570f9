using System.Numerics;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Decoders;

/// <summary>Cosines and sines of rotary positions, one pair of tables per model, device and dtype, made at their first use.</summary>
/// <remarks>
/// Rows are [width]; the sines of the first half are negative: with <c>roll(x, width / 2)</c> the rotation is
/// <c>x * cos + roll(x) * sin</c>. What is handed out stays valid, also when the tables grow.
/// </remarks>
internal sealed class RotaryTables(LlamaConfig config)
{
    private readonly Dictionary<(string Device, ScalarType Dtype), Tables> _tables = [];
    private readonly Lock _gate = new();

    /// <summary>The rows of consecutive positions, [length, 1, width], or of given ones, [batch, time, 1, width].</summary>
    /// <param name="start">The first position.</param>
    /// <param name="length">Their number.</param>
    /// <param name="positions">int64 [batch, time], each below <paramref name="start"/> + <paramref name="length"/>; null for the consecutive ones.</param>
    /// <param name="device">Where the rows are needed.</param>
    /// <param name="dtype">Their dtype.</param>
    public (Tensor Cos, Tensor Sin) Rows(long start, long length, Tensor? positions, Device device, ScalarType dtype)
    {
        var tables = Get(start + length, device, dtype);
        if (positions is null) return (tables.Cos.narrow(0, start, length).unsqueeze(1), tables.Sin.narrow(0, start, length).unsqueeze(1));
        long[] shape = [positions.shape[0], positions.shape[1], 1, config.HeadWidth];
        using var flat = positions.flatten();
        return (tables.Cos.index_select(0, flat).view(shape), tables.Sin.index_select(0, flat).view(shape));
    }

    private Tables Get(long length, Device device, ScalarType dtype)
    {
        var key = (device.ToString(), dtype);
        lock (_gate)
        {
            if (_tables.TryGetValue(key, out var known) && known.Length >= length && (known.Length == length || !RotaryFrequencies.DependsOnLength(config)))
                return known;
            return _tables[key] = Make(length, device, dtype);
        }
    }

    private Tables Make(long length, Device device, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var rows = RotaryFrequencies.DependsOnLength(config) ? length : (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(length, 256));
        var frequencies = RotaryFrequencies.Compute(config, length).to(device);
        var angles = outer(arange(rows, ScalarType.Float32, device), frequencies);
        var (cos, sin, scale) = (angles.cos(), angles.sin(), RotaryFrequencies.Scale(config));
        if (scale != 1) (cos, sin) = (cos * scale, sin * scale);
        return new Tables(
            cat([cos, cos], -1).to(dtype).DetachFromDisposeScope(),
            cat([-sin, sin], -1).to(dtype).DetachFromDisposeScope(),
            rows);
    }

    private sealed record Tables(Tensor Cos, Tensor Sin, long Length);
}
