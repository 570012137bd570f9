using AccelerateSharp.Models.Encoders;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>BERT or RoBERTa: every token sees every other.</summary>
public abstract class TextEncoder : PretrainedModel
{
    private protected TextEncoder(BertConfig config, string modelType, string name) : base(config ?? throw new ArgumentNullException(nameof(config)), name)
    {
        if (config.ModelType != modelType) throw new ArgumentException($"{name} needs a configuration of the type '{modelType}', not '{config.ModelType}'.", nameof(config));
        config.Check();
    }

    private protected BertConfig Settings => (BertConfig)Config;

    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [Settings.IsRoberta ? nameof(RobertaLayer) : nameof(BertLayer)];

    private protected override string BasePrefix => Config.ModelType;

    /// <inheritdoc/>
    internal override string? NameInCheckpoint(string parameter, Func<string, bool> contains) =>
        base.NameInCheckpoint(parameter, contains) ?? base.NameInCheckpoint(
            // Checkpoints that were converted from TensorFlow, bert-base-uncased among them, call a norm's parameters so.
            parameter.Replace("LayerNorm.weight", "LayerNorm.gamma", StringComparison.Ordinal).Replace("LayerNorm.bias", "LayerNorm.beta", StringComparison.Ordinal), contains);

    internal override bool IsDerived(string name) =>
        name.EndsWith("embeddings.position_ids", StringComparison.Ordinal) || name.EndsWith("embeddings.token_type_ids", StringComparison.Ordinal)
        || name.EndsWith("decoder.bias", StringComparison.Ordinal) || (Config.TieWordEmbeddings && name.EndsWith("decoder.weight", StringComparison.Ordinal));

    internal override void Initialize(string name, Tensor parameter)
    {
        base.Initialize(name, parameter);
        if (name.EndsWith("word_embeddings.weight", StringComparison.Ordinal)) parameter[Settings.Padding].zero_();
    }
}
