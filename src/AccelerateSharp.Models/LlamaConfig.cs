namespace AccelerateSharp;

/// <summary>The configuration of Llama and of those built like it: Mistral, Qwen2 and Qwen3.</summary>
/// <example><code>
/// var config = new LlamaConfig { HiddenSize = 768, IntermediateSize = 2048, NumHiddenLayers = 12, NumAttentionHeads = 12 };
/// var model = new LlamaForCausalLM(config);
/// </code></example>
public sealed record LlamaConfig : PretrainedConfig
{
    private const int Unset = -1;

    private int? _slidingWindow = Unset;

    /// <summary>A Llama; set <see cref="PretrainedConfig.ModelType"/> for its relatives.</summary>
    public LlamaConfig() => ModelType = "llama";

    /// <summary>Number of tokens.</summary>
    public int VocabSize { get; set; } = 32000;

    /// <summary>Width of the residual stream.</summary>
    public int HiddenSize { get; set; } = 4096;

    /// <summary>Width inside of the feed-forward part.</summary>
    public int IntermediateSize { get; set; } = 11008;

    /// <summary>Number of layers.</summary>
    public int NumHiddenLayers { get; set; } = 32;

    /// <summary>Heads of the queries.</summary>
    public int NumAttentionHeads { get; set; } = 32;

    /// <summary>Heads of the keys and values, each shared by several of the queries'; by default as many as those.</summary>
    public int? NumKeyValueHeads { get; set; }

    /// <summary>Width of a head; by default <see cref="HiddenSize"/> over the heads, and 128 for Qwen3.</summary>
    public int? HeadDim { get; set; }

    /// <summary>Positions that the model was trained for.</summary>
    public int MaxPositionEmbeddings { get; set; } = 2048;

    /// <summary>Added to the mean square before its root is taken.</summary>
    public double RmsNormEps { get; set; } = 1e-6;

    /// <summary>The activation; only <c>silu</c>.</summary>
    public string HiddenAct { get; set; } = "silu";

    /// <summary>Base of the rotary wave lengths; 10,000 where nothing is said.</summary>
    public double? RopeTheta { get; set; }

    /// <summary>How rotary positions are stretched beyond those trained for.</summary>
    public RopeParameters? RopeScaling { get; set; }

    /// <summary>The same with the base in it, as newer files have it.</summary>
    public RopeParameters? RopeParameters { get; set; }

    /// <summary>Whether all projections of the attention have a bias; those of Qwen2 to queries, keys and values always have.</summary>
    public bool AttentionBias { get; set; }

    /// <summary>Whether the projections of the feed-forward part have a bias.</summary>
    public bool MlpBias { get; set; }

    /// <summary>Probability with which an attention weight is dropped in training.</summary>
    public double AttentionDropout { get; set; }

    /// <summary>How many positions, its own included, a token sees in layers with a window; 4,096 for a Mistral of which nothing is said.</summary>
    public int? SlidingWindow
    {
        get => _slidingWindow == Unset ? (ModelType == "mistral" ? 4096 : null) : _slidingWindow;
        set => _slidingWindow = value;
    }

    /// <summary>Qwen: whether any layer has a window.</summary>
    public bool? UseSlidingWindow { get; set; }

    /// <summary>Qwen: the layers from this one on have the window.</summary>
    public int? MaxWindowLayers { get; set; }

    /// <summary>For each layer <c>full_attention</c> or <c>sliding_attention</c>; goes before the two settings above.</summary>
    public IReadOnlyList<string>? LayerTypes { get; set; }

    internal int KeyValueHeads => NumKeyValueHeads ?? NumAttentionHeads;

    internal int HeadWidth => HeadDim ?? (ModelType == "qwen3" ? 128 : HiddenSize / NumAttentionHeads);

    internal bool InputBias => AttentionBias || ModelType == "qwen2";

    internal bool OutputBias => AttentionBias && ModelType != "qwen2";

    internal bool NormalizesHeads => ModelType == "qwen3";

    internal double Theta => RopeParameters?.RopeTheta ?? RopeTheta ?? 10_000;

    internal RopeParameters Rope => RopeParameters ?? RopeScaling ?? new RopeParameters();

    /// <summary>The window of a layer; null where it sees everything before it.</summary>
    internal int? WindowOf(int layer)
    {
        if (SlidingWindow is not { } window) return null;
        if (LayerTypes is { } types) return types[layer] == "sliding_attention" ? window : null;
        return ModelType switch
        {
            "mistral" => window,
            "qwen2" or "qwen3" => UseSlidingWindow == true && layer >= (MaxWindowLayers ?? 28) ? window : null,
            _ => null,
        };
    }

    /// <exception cref="ArgumentException">A setting contradicts another, or is not supported; the message names it.</exception>
    internal void Check()
    {
        Require(NumAttentionHeads > 0 && NumAttentionHeads % KeyValueHeads == 0,
            $"num_attention_heads ({NumAttentionHeads}) is no multiple of num_key_value_heads ({KeyValueHeads})");
        Require(HeadWidth % 2 == 0, $"the width of a head ({HeadWidth}) is odd, which rotary positions cannot split");
        Require(HeadDim is not null || HiddenSize % NumAttentionHeads == 0, $"hidden_size ({HiddenSize}) is no multiple of num_attention_heads ({NumAttentionHeads})");
        Require(HiddenAct == "silu", $"hidden_act is '{HiddenAct}'; only 'silu' is supported");
        Require(LayerTypes is null || LayerTypes.Count == NumHiddenLayers, $"layer_types has {LayerTypes?.Count} entries for {NumHiddenLayers} layers");
        Require(Rope.IsKnown, $"rope_type is '{Rope.Kind}'; supported are {RopeParameters.KnownKinds}");

        void Require(bool holds, string otherwise)
        {
            if (!holds) throw new ArgumentException($"{ModelType} configuration: {otherwise}.");
        }
    }
}
