namespace AccelerateSharp;

/// <summary>The configuration of BERT, and with <see cref="PretrainedConfig.ModelType"/> <c>roberta</c> of RoBERTa.</summary>
/// <example><code>
/// var model = new BertForSequenceClassification(new BertConfig { HiddenSize = 128, IntermediateSize = 512, NumHiddenLayers = 2, NumAttentionHeads = 2, NumLabels = 2 });
/// </code></example>
public sealed record BertConfig : EncoderConfig
{
    /// <summary>The base size of BERT.</summary>
    public BertConfig() => (ModelType, TieWordEmbeddings) = ("bert", true);

    /// <summary>Number of tokens.</summary>
    public int VocabSize { get; set; } = 30522;

    /// <summary>Positions that the model has embeddings for; of RoBERTa's, one more than the pad token's number are never used.</summary>
    public int MaxPositionEmbeddings { get; set; } = 512;

    /// <summary>How many kinds of token types there are.</summary>
    public int TypeVocabSize { get; set; } = 2;

    /// <summary>Dropout before the classifier; by default <see cref="EncoderConfig.HiddenDropoutProb"/>.</summary>
    public double? ClassifierDropout { get; set; }

    /// <summary>Only <c>absolute</c>.</summary>
    public string PositionEmbeddingType { get; set; } = "absolute";

    /// <summary>Whether it is a decoder; only false.</summary>
    public bool IsDecoder { get; set; }

    internal bool IsRoberta => ModelType == "roberta";

    internal long Padding => PadTokenId ?? (IsRoberta ? 1 : 0);

    internal override void Check()
    {
        base.Check();
        if (PositionEmbeddingType != "absolute") throw new ArgumentException($"{ModelType} configuration: position_embedding_type is '{PositionEmbeddingType}'; supported is absolute.");
        if (IsDecoder) throw new ArgumentException($"{ModelType} configuration: is_decoder is set; only encoders are supported.");
        if (Padding >= VocabSize) throw new ArgumentException($"{ModelType} configuration: pad_token_id ({Padding}) is not below vocab_size ({VocabSize}).");
    }
}
