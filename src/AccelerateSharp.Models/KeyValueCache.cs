using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Keys and values of the tokens that a model has seen, in memory that is allocated once.</summary>
/// <remarks>Each layer's lies where that layer computes. Not for training: what is appended is not part of autograd's graph.</remarks>
public sealed class KeyValueCache : IDisposable
{
    // Behind an interface, so that no device map looks inside and moves what lies where it belongs.
    private readonly List<ILayer?> _layers = [];

    /// <param name="capacity">The most tokens that it holds.</param>
    public KeyValueCache(long capacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacity);
        Capacity = capacity;
    }

    /// <summary>The most tokens that it holds.</summary>
    public long Capacity { get; }

    /// <summary>The tokens that it holds.</summary>
    public long Length { get; private set; }

    /// <summary>Forgets all tokens; the memory stays for the next ones.</summary>
    public void Clear() => Length = 0;

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        foreach (var layer in _layers) layer?.Dispose();
        _layers.Clear();
    }

    /// <summary>Adds the keys and values of a layer's new tokens, [batch, heads, time, width].</summary>
    /// <returns>Those of all tokens, or of the last <paramref name="window"/>: views.</returns>
    internal (Tensor Keys, Tensor Values) Append(int layer, Tensor keys, Tensor values, int? window)
    {
        var total = Length + keys.shape[2];
        if (total > Capacity) throw new InvalidOperationException($"The cache holds {Capacity} tokens; {total} are needed.");
        while (_layers.Count <= layer) _layers.Add(null);
        var memory = (Layer)(_layers[layer] ??= new Layer(keys, values, Capacity));
        return memory.Append(keys, values, Length, window);
    }

    /// <summary>After all layers have appended as many tokens.</summary>
    internal void Advance(long tokens) => Length += tokens;

    private interface ILayer : IDisposable;

    private sealed class Layer(Tensor keys, Tensor values, long capacity) : ILayer
    {
        private readonly Tensor _keys = Allocate(keys, capacity);
        private readonly Tensor _values = Allocate(values, capacity);

        public (Tensor Keys, Tensor Values) Append(Tensor keys, Tensor values, long start, int? window)
        {
            var count = keys.shape[2];
            using (var target = _keys.narrow(2, start, count)) target.copy_(keys);
            using (var target = _values.narrow(2, start, count)) target.copy_(values);
            var seen = Math.Min(start + count, window ?? long.MaxValue);
            return (_keys.narrow(2, start + count - seen, seen), _values.narrow(2, start + count - seen, seen));
        }

        public void Dispose()
        {
            _keys.Dispose();
            _values.Dispose();
        }

        private static Tensor Allocate(Tensor like, long capacity) =>
            empty([like.shape[0], like.shape[1], capacity, like.shape[3]], like.dtype, like.device).DetachFromDisposeScope();
    }
}
