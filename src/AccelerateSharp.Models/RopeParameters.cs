namespace AccelerateSharp;

/// <summary>How rotary position embeddings are scaled; the settings that a kind does not use stay unset.</summary>
public sealed record RopeParameters
{
    internal const string KnownKinds = "default, linear, dynamic, llama3, yarn";

    /// <summary><c>default</c>, <c>linear</c>, <c>dynamic</c>, <c>llama3</c> or <c>yarn</c>.</summary>
    public string? RopeType { get; set; }

    /// <summary>The older name of <see cref="RopeType"/>.</summary>
    public string? Type { get; set; }

    /// <summary>Base of the wave lengths.</summary>
    public double? RopeTheta { get; set; }

    /// <summary>How many times longer texts may be.</summary>
    public double? Factor { get; set; }

    /// <summary>llama3: waves longer than the trained length over this are stretched by the whole factor.</summary>
    public double? LowFreqFactor { get; set; }

    /// <summary>llama3: waves shorter than the trained length over this stay.</summary>
    public double? HighFreqFactor { get; set; }

    /// <summary>The length that the model was first trained for.</summary>
    public int? OriginalMaxPositionEmbeddings { get; set; }

    /// <summary>yarn: factor on the rotated vectors; by default it follows from <see cref="Factor"/>.</summary>
    public double? AttentionFactor { get; set; }

    /// <summary>yarn: waves that turn more often than this over the trained length stay; 32 by default.</summary>
    public double? BetaFast { get; set; }

    /// <summary>yarn: waves that turn less often than this are stretched by the whole factor; 1 by default.</summary>
    public double? BetaSlow { get; set; }

    internal string Kind => RopeType ?? Type ?? "default";

    internal bool IsKnown => KnownKinds.Split(", ").Contains(Kind);
}
