namespace AccelerateSharp.Estimation;

/// <summary>What the activations of a transformer depend on.</summary>
internal sealed record TransformerGeometry
{
    /// <summary>The number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>The width of the residual stream.</summary>
    public required int Hidden { get; init; }

    /// <summary>The number of attention heads.</summary>
    public required int Heads { get; init; }

    /// <summary>The number of heads of keys and values; fewer than <see cref="Heads"/> with grouped-query attention.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>The width of a head.</summary>
    public required int HeadWidth { get; init; }

    /// <summary>The inner width of the feed-forward network.</summary>
    public required int FeedForward { get; init; }

    /// <summary>Whether the feed-forward network has a gate (SwiGLU).</summary>
    public bool IsGated { get; init; }

    /// <summary>Whether there is dropout after attention and feed-forward, whose masks are kept.</summary>
    public bool HasDropout { get; init; }

    /// <summary>The number of logits for each position; 0 without a head over the vocabulary.</summary>
    public long Logits { get; init; }

    /// <summary>The number of positions that the input always has (an image's patches), or null where it is the user's choice.</summary>
    public int? FixedSequenceLength { get; init; }

    /// <summary>The longest sequence that there are positions for.</summary>
    public int MaxSequenceLength { get; init; } = int.MaxValue;
}
