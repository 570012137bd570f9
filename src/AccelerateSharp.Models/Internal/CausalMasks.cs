using static TorchSharp.torch;

namespace AccelerateSharp.Models.Internal;

/// <summary>The attention masks of one forward: one for the layers that see everything before a token, one for each width of window.</summary>
/// <remarks>
/// Null where none is needed: then attention is causal by itself, which the fastest kernels require. A token always sees itself, so
/// that the rows of padding have something to look at; they influence no others.
/// </remarks>
internal sealed class CausalMasks
{
    private readonly Dictionary<int, Tensor?> _masks = [];
    private readonly Tensor? _padding;
    private readonly long _past;
    private readonly long _length;
    private readonly Device _device;

    /// <param name="padding">1 for tokens, 0 for padding: [batch, past + length]; null where there is none.</param>
    /// <param name="past">Tokens that a cache holds.</param>
    /// <param name="length">Tokens of this forward.</param>
    /// <param name="device">Where the masks are made.</param>
    public CausalMasks(Tensor? padding, long past, long length, Device device)
    {
        (_past, _length, _device) = (past, length, device);
        if (padding is null) return;
        if (padding.dim() != 2 || padding.shape[1] != past + length)
        {
            throw new ArgumentException(
                $"AttentionMask is [{string.Join(", ", padding.shape)}]; it must be [batch, {past + length}]: one entry for each of the {past} tokens in the cache and the {length} given now.");
        }
        var tokens = padding.@bool();
        // Worth the wait for the answer: a mask that hides nothing keeps the fast kernels away. Not for every single token of a generation.
        if (length == 1 || !tokens.all().item<bool>()) _padding = tokens;
    }

    /// <summary>The mask for layers with this window, or without one; bool [batch or 1, 1, length, keys].</summary>
    public Tensor? For(int? window)
    {
        var key = window ?? int.MaxValue;
        if (!_masks.TryGetValue(key, out var mask)) _masks[key] = mask = Make(window);
        return mask;
    }

    private Tensor? Make(int? window)
    {
        var total = _past + _length;
        if (_length == 1)
        {
            // The cache hands out only what is inside of the window.
            var keys = Math.Min(total, window ?? total);
            return _padding?.narrow(1, total - keys, keys).unsqueeze(1).unsqueeze(1);
        }
        if (_padding is null && _past == 0 && (window is null || _length <= window)) return null;
        using var scope = NewDisposeScope();
        var queries = arange(_past, total, device: _device).unsqueeze(1);
        var positions = arange(total, device: _device);
        var mask = positions <= queries;
        if (window is { } width) mask = mask & (positions > queries - width);
        mask = mask.unsqueeze(0).unsqueeze(0);
        if (_padding is not null) mask = mask & (_padding.unsqueeze(1).unsqueeze(1) | (positions == queries));
        return mask.MoveToOuterDisposeScope();
    }
}
