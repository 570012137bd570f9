using static TorchSharp.torch;

namespace AccelerateSharp.Models.Generation;

/// <summary>One run of a language model over its own output.</summary>
/// <remarks>Everything that grows with the text is allocated before it starts; a step leaves nothing behind.</remarks>
internal sealed class TextGeneration
{
    /// <summary>How often the host asks whether all texts have ended, where it need not look at each token anyway.</summary>
    private const int StepsBetweenChecks = 8;

    private readonly CausalLanguageModel _model;
    private readonly GenerationOptions _options;
    private readonly Tensor _prompt;
    private readonly Tensor? _mask;
    private readonly IReadOnlyList<long> _ends;
    private readonly long _pad;

    public TextGeneration(CausalLanguageModel model, Tensor prompt, Tensor? attentionMask, GenerationOptions options)
    {
        options.Check();
        if (prompt.dim() != 2 || prompt.dtype != ScalarType.Int64 || prompt.numel() == 0)
            throw new ArgumentException($"A prompt is int64 [batch, time] with at least one token, not {prompt.dtype} [{string.Join(", ", prompt.shape)}].", nameof(prompt));
        if (attentionMask is not null && !attentionMask.shape.SequenceEqual(prompt.shape))
            throw new ArgumentException($"The attention mask is [{string.Join(", ", attentionMask.shape)}]; it must be of the prompt's shape [{string.Join(", ", prompt.shape)}].", nameof(attentionMask));
        if (model.MaxPositions is { } most && prompt.shape[1] + options.MaxNewTokens > most)
            throw new ArgumentException($"{prompt.shape[1]} tokens of the prompt and {options.MaxNewTokens} new ones are more than the {most} positions of this model.", nameof(options));
        (_model, _prompt, _options) = (model, prompt, options);
        _ends = options.EosTokenIds ?? model.Config.EosTokenId ?? [];
        _pad = options.PadTokenId ?? model.Config.PadTokenId ?? _ends.FirstOrDefault();
        if (attentionMask is null) return;
        if (!attentionMask[.., -1].all().item<bool>())
            throw new ArgumentException("The attention mask ends with padding: pad on the left, so that new tokens follow the text.", nameof(attentionMask));
        if (!attentionMask.all().item<bool>()) _mask = attentionMask;
    }

    public Tensor Run()
    {
        using var scope = NewDisposeScope();
        var (batch, start) = (_prompt.shape[0], _prompt.shape[1]);
        var total = start + _options.MaxNewTokens;
        var device = _prompt.device;
        var tokens = empty([batch, total], ScalarType.Int64, device);
        tokens.narrow(1, 0, start).copy_(_prompt);
        var (mask, positions) = Padding(total);
        var ends = _ends.Count > 0 ? tensor(_ends.ToArray(), device: device) : null;
        var ended = ends is null ? null : zeros([batch, 1], ScalarType.Bool, device);
        using var cache = new KeyValueCache(total);
        var length = start;
        while (length < total)
        {
            using var step = NewDisposeScope();
            var seen = cache.Length;
            var inputs = new ModelInputs
            {
                InputIds = tokens.narrow(1, seen, length - seen),
                AttentionMask = mask?.narrow(1, 0, length),
                PositionIds = seen == 0 ? positions?.narrow(1, 0, start) : positions?.narrow(1, start - 1, 1).add(length - start),
                Cache = cache,
                LogitsToKeep = 1,
            };
            var next = TokenChoice.Next(_model.call(inputs).Logits.select(1, 0), _options).to(device);
            if (ended is not null) next = next.masked_fill(ended, _pad);
            tokens.narrow(1, length, 1).copy_(next);
            ended?.logical_or_(next.isin(ends!));
            length++;
            if (_options.OnToken is { } listener && !listener(next.squeeze(1).cpu())) break;
            if (ended is null || length == total) continue;
            if ((_options.OnToken is not null || (length - start) % StepsBetweenChecks == 0) && ended.all().item<bool>()) break;
        }
        return tokens.narrow(1, 0, Ending(tokens, start, length)).clone().MoveToOuterDisposeScope();
    }

    /// <summary>With padding on the left: what is a token, over the whole length, and the positions of the prompt's tokens.</summary>
    private (Tensor? Mask, Tensor? Positions) Padding(long total)
    {
        if (_mask is null) return (null, null);
        var mask = ones([_prompt.shape[0], total], ScalarType.Bool, _prompt.device);
        mask.narrow(1, 0, _prompt.shape[1]).copy_(_mask);
        return (mask, (_mask.to(ScalarType.Int64).cumsum(1) - 1).clamp_(min: 0));
    }

    /// <summary>The length at which the last text ended: up to a few steps before the host has noticed.</summary>
    private long Ending(Tensor tokens, long start, long length)
    {
        if (_ends.Count == 0) return length;
        var rows = tokens.narrow(1, start, length - start).cpu();
        var longest = start;
        for (var row = 0L; row < rows.shape[0]; row++)
        {
            var end = Array.FindIndex(rows[row].data<long>().ToArray(), _ends.Contains);
            longest = Math.Max(longest, end < 0 ? length : start + end + 1);
        }
        return longest;
    }
}
