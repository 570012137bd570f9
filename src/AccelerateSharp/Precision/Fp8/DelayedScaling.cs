using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Scales of many tensors, each from the largest magnitudes of the steps before: nothing is read twice, and nothing is read back.</summary>
/// <remarks>
/// The algorithm of Transformer Engine's delayed scaling: scale = largest number of the format / amax / 2^margin, with the most
/// recent amax or the largest of the history; where that is zero or not finite, the scale stays. One rule is added: a tensor that
/// was never seen is scaled by itself, where Transformer Engine begins with 1.
/// </remarks>
internal sealed class DelayedScaling : IDisposable
{
    private readonly Tensor _amax;
    private readonly Tensor _history;
    private readonly Tensor _scale;
    private readonly Tensor _largest;
    private readonly Tensor[] _amaxOf;
    private readonly Tensor[] _scaleOf;
    private readonly bool[] _noted;
    private readonly bool[] _known;
    private readonly int _interval;
    private readonly float _factor;
    private readonly bool _useMax;
    private long _steps;

    /// <param name="kinds">The format of each tensor.</param>
    /// <param name="length">Steps that the history goes back.</param>
    /// <param name="useMax">The largest of the history decides; else the most recent.</param>
    /// <param name="margin">Powers of two to stay below the format's largest number.</param>
    /// <param name="interval">Steps between new scales.</param>
    /// <param name="device">Where the tensors are.</param>
    public DelayedScaling(IReadOnlyList<Float8Kind> kinds, int length, bool useMax, int margin, int interval, Device device)
    {
        using var scope = NewDisposeScope();
        (_interval, _useMax, _factor) = (interval, useMax, MathF.Pow(2, -margin));
        _amax = zeros(kinds.Count, dtype: ScalarType.Float32, device: device).DetachFromDisposeScope();
        _history = zeros([length, kinds.Count], dtype: ScalarType.Float32, device: device).DetachFromDisposeScope();
        _scale = ones(kinds.Count, dtype: ScalarType.Float32, device: device).DetachFromDisposeScope();
        _largest = tensor([.. kinds.Select(kind => kind.Max())], ScalarType.Float32, device).DetachFromDisposeScope();
        _amaxOf = [.. kinds.Select((_, i) => _amax.narrow(0, i, 1).DetachFromDisposeScope())];
        _scaleOf = [.. kinds.Select((_, i) => _scale.narrow(0, i, 1).DetachFromDisposeScope())];
        (_noted, _known) = (new bool[kinds.Count], new bool[kinds.Count]);
    }

    /// <summary>The present scales, float32 [tensors].</summary>
    public Tensor Scales => _scale;

    /// <summary>The largest magnitudes since the last step, float32 [tensors].</summary>
    public Tensor Amaxes => _amax;

    /// <summary>How to scale a tensor now.</summary>
    /// <param name="slot">Which tensor.</param>
    /// <param name="note">Whether its largest magnitude counts for the steps to come.</param>
    public ScaleSource SourceOf(int slot, bool note)
    {
        // Read by the backward pass' thread too, but each slot by one thread at a time.
        if (note) _noted[slot] = true;
        return new ScaleSource(_known[slot] ? _scaleOf[slot] : null, note ? _amaxOf[slot] : null, _factor);
    }

    /// <summary>After the backward of a step: the largest magnitudes of all ranks become history, and scales follow.</summary>
    /// <param name="group">All ranks, which then have the same scales; null in a job of one process.</param>
    public void Advance(ProcessGroup? group)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        // What is not a number would spread to all ranks: it tells nothing about the scale.
        _amax.copy_(_amax.where(_amax.isfinite(), zeros_like(_amax)));
        group?.AllReduce(_amax, ReduceOp.Max);
        var row = _steps % _history.shape[0];
        _history[row].copy_(_amax);
        if (_steps++ % _interval == 0)
        {
            for (var i = 0; i < _noted.Length; i++) _known[i] |= _noted[i];
            using Scalar factor = _factor, limit = float.MaxValue;
            var amax = _useMax ? _history.amax([0]) : _amax;
            _scale.copy_((_largest / amax).mul_(factor).clamp_max_(limit).where(amax.gt(0), _scale));
        }

        _amax.zero_();
        // The most recent amax is that of this step alone.
        if (!_useMax) Array.Clear(_noted);
    }

    public void Dispose()
    {
        foreach (var tensor in _amaxOf.Concat(_scaleOf)) tensor.Dispose();
        foreach (var tensor in new[] { _amax, _history, _scale, _largest }) tensor.Dispose();
    }
}
