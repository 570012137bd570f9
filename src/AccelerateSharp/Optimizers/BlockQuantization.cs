using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>Numbers in 8 bits: each block of <see cref="BlockSize"/> is divided by its largest, and rounded to the nearest of 256 values.</summary>
/// <remarks>
/// Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022, with its dynamic map: seven decades, each with twice as
/// many values as the one below, so that small numbers keep their size and large ones their precision.
/// </remarks>
internal sealed class BlockQuantization
{
    public const int BlockSize = 256;

    private static readonly ConcurrentDictionary<(bool Signed, string Device), BlockQuantization> _known = new();

    private readonly Tensor _values;
    private readonly Tensor _boundaries;
    private readonly bool _signed;

    private BlockQuantization(bool signed, Device device)
    {
        var map = Map(signed);
        _signed = signed;
        _values = tensor(map, ScalarType.Float32, device).DetachFromDisposeScope();
        // What lies between two values belongs to the nearer one.
        _boundaries = tensor(map.Zip(map.Skip(1), (low, high) => (low + high) / 2).ToArray(), ScalarType.Float32, device).DetachFromDisposeScope();
    }

    /// <summary>The 256 values, float32 on the device.</summary>
    public Tensor Values => _values;

    /// <summary>The 255 numbers between which the nearest value changes.</summary>
    public Tensor Boundaries => _boundaries;

    /// <summary>The map for signed numbers, or for those of 0 and above, on a device.</summary>
    public static BlockQuantization On(Device device, bool signed) =>
        _known.GetOrAdd((signed, device.ToString()), static (key, device) => new BlockQuantization(key.Signed, device), device);

    public static long Blocks(long count) => (count + BlockSize - 1) / BlockSize;

    /// <summary>The 256 values, from small to large.</summary>
    public static float[] Map(bool signed)
    {
        const int Decades = 7;
        var values = new List<float> { 0, 1 };
        for (var decade = 0; decade < Decades; decade++)
        {
            // The middles of equal parts of [0.1, 1], in this decade.
            var (parts, scale) = (1 << (signed ? decade : decade + 1), Math.Pow(10, decade - Decades + 1));
            for (var part = 0; part < parts; part++)
            {
                var value = (float)(scale * (0.1 + (0.9 * (part + 0.5) / parts)));
                values.Add(value);
                if (signed) values.Add(-value);
            }
        }

        return [.. values.Order()];
    }

    /// <summary>Numbers from their codes [blocks, <see cref="BlockSize"/>] (uint8) and scales [blocks] (float32), in one dimension.</summary>
    public Tensor Decode(Tensor codes, Tensor scales)
    {
        using var index = codes.reshape(-1).to(ScalarType.Int32);
        var values = _values.index_select(0, index);
        using var blocks = values.view(-1, BlockSize);
        using var factors = scales.unsqueeze(1);
        blocks.mul_(factors);
        return values;
    }

    /// <summary>Writes codes and scales for numbers as <see cref="Decode"/> returns them.</summary>
    public void Encode(Tensor values, Tensor codes, Tensor scales)
    {
        using var scope = NewDisposeScope();
        var blocks = values.view(-1, BlockSize);
        scales.copy_(blocks.abs().amax(1));
        var nearest = (blocks / scales.clamp_min(1e-30f).unsqueeze(1)).bucketize(_boundaries, outInt32: true);
        // A second moment that is not zero must not become zero: the update divides by its root.
        if (!_signed) nearest.clamp_min_(1);
        codes.copy_(nearest);
    }
}
