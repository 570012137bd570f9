using System.Text.Json.Serialization;

namespace AccelerateSharp;

/// <summary>What the configurations of BERT, RoBERTa and ViT share.</summary>
public abstract record EncoderConfig : PretrainedConfig
{
    /// <summary>Width of the hidden state.</summary>
    public int HiddenSize { get; set; } = 768;

    /// <summary>Number of layers.</summary>
    public int NumHiddenLayers { get; set; } = 12;

    /// <summary>Heads of the attention.</summary>
    public int NumAttentionHeads { get; set; } = 12;

    /// <summary>Width inside of the feed-forward part.</summary>
    public int IntermediateSize { get; set; } = 3072;

    /// <summary>The activation: <c>gelu</c>, <c>gelu_new</c> (the tanh form) or <c>relu</c>.</summary>
    public string HiddenAct { get; set; } = "gelu";

    /// <summary>Dropout of embeddings and of what is added to the hidden state.</summary>
    public double HiddenDropoutProb { get; set; } = 0.1;

    /// <summary>Dropout of the attention weights.</summary>
    public double AttentionProbsDropoutProb { get; set; } = 0.1;

    /// <summary>Added to the variance before its root is taken.</summary>
    public double LayerNormEps { get; set; } = 1e-12;

    /// <summary>Number of classes; without it as many as <see cref="Id2Label"/> names, or 2.</summary>
    public int? NumLabels { get; set; }

    /// <summary>The names of the classes by their numbers.</summary>
    [JsonPropertyName("id2label")]
    public IReadOnlyDictionary<string, string>? Id2Label { get; set; }

    /// <summary>The numbers of the classes by their names.</summary>
    [JsonPropertyName("label2id")]
    public IReadOnlyDictionary<string, int>? Label2Id { get; set; }

    /// <summary>What a classifier learns: <c>single_label_classification</c>, <c>multi_label_classification</c> or <c>regression</c>; by default what labels and classes suggest.</summary>
    public string? ProblemType { get; set; }

    internal int Classes => NumLabels ?? Id2Label?.Count ?? 2;

    /// <exception cref="ArgumentException">A setting contradicts another, or is not supported; the message names it.</exception>
    internal virtual void Check()
    {
        if (NumAttentionHeads <= 0 || HiddenSize % NumAttentionHeads != 0)
            throw new ArgumentException($"{ModelType} configuration: hidden_size ({HiddenSize}) is no multiple of num_attention_heads ({NumAttentionHeads}).");
        if (HiddenAct is not ("gelu" or "gelu_new" or "relu"))
            throw new ArgumentException($"{ModelType} configuration: hidden_act is '{HiddenAct}'; supported are gelu, gelu_new, relu.");
        if (ProblemType is not (null or "single_label_classification" or "multi_label_classification" or "regression"))
            throw new ArgumentException($"{ModelType} configuration: problem_type is '{ProblemType}'; known are single_label_classification, multi_label_classification, regression.");
    }
}
