using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>What a model is called with. A tensor alone stands for <see cref="InputIds"/>.</summary>
/// <example><code>
/// var logits = model.call(tokens).Logits;
/// var loss = model.call(new() { InputIds = tokens, AttentionMask = mask, Labels = tokens }).Loss;
/// </code></example>
public sealed record ModelInputs
{
    /// <summary>Token numbers, int64 [batch, time].</summary>
    public Tensor? InputIds { get; init; }

    /// <summary>1 for tokens, 0 for padding; [batch, time], with a cache [batch, time before and now]. Without one, all are tokens.</summary>
    public Tensor? AttentionMask { get; init; }

    /// <summary>Positions of the tokens, int64 [batch, time]; by default they count up from what the cache holds.</summary>
    public Tensor? PositionIds { get; init; }

    /// <summary>Which of two sentences a token belongs to, int64 [batch, time]; for encoders.</summary>
    public Tensor? TokenTypeIds { get; init; }

    /// <summary>Images, float [batch, channels, height, width]; for vision models.</summary>
    public Tensor? PixelValues { get; init; }

    /// <summary>What should come out: int64 [batch, time] for language models, which shift them themselves, -100 for tokens without loss; int64 [batch] for classifiers.</summary>
    public Tensor? Labels { get; init; }

    /// <summary>Keys and values of the tokens before; for generation.</summary>
    public KeyValueCache? Cache { get; init; }

    /// <summary>Of how many last tokens a language model computes logits; 0, the default, stands for all.</summary>
    public int LogitsToKeep { get; init; }

    /// <summary>Only these tokens.</summary>
    public static implicit operator ModelInputs(Tensor inputIds) => new() { InputIds = inputIds };

    /// <summary>Only these tokens.</summary>
    public static ModelInputs FromTensor(Tensor inputIds) => inputIds;
}
