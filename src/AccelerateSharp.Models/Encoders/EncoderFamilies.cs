using AccelerateSharp.Models.Configuration;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Encoders;

/// <summary>BERT, RoBERTa and ViT.</summary>
internal static class EncoderFamilies
{
    public static ModelFamily Bert { get; } = new(
        ["bert", "roberta"], ConfigJson.Default.BertConfig, static (config, architecture, dtype, device) => Build((BertConfig)config, architecture, dtype, device));

    public static ModelFamily ViT { get; } = new(
        ["vit"], ConfigJson.Default.ViTConfig, static (config, architecture, dtype, device) => architecture is "" or nameof(ViTForImageClassification)
            ? new ViTForImageClassification((ViTConfig)config, dtype, device)
            : throw Unknown(architecture, nameof(ViTForImageClassification)));

    private static PretrainedModel Build(BertConfig config, string architecture, ScalarType dtype, Device? device) => (architecture, config.IsRoberta) switch
    {
        (nameof(BertModel) or "", false) => new BertModel(config, dtype, device),
        (nameof(BertForMaskedLM) or "BertForPreTraining", false) => new BertForMaskedLM(config, dtype, device),
        (nameof(BertForSequenceClassification), false) => new BertForSequenceClassification(config, dtype, device),
        (nameof(RobertaModel) or "", true) => new RobertaModel(config, dtype, device),
        (nameof(RobertaForMaskedLM), true) => new RobertaForMaskedLM(config, dtype, device),
        (nameof(RobertaForSequenceClassification), true) => new RobertaForSequenceClassification(config, dtype, device),
        (_, false) => throw Unknown(architecture, $"{nameof(BertModel)}, {nameof(BertForMaskedLM)}, {nameof(BertForSequenceClassification)}"),
        _ => throw Unknown(architecture, $"{nameof(RobertaModel)}, {nameof(RobertaForMaskedLM)}, {nameof(RobertaForSequenceClassification)}"),
    };

    private static NotSupportedException Unknown(string architecture, string known) =>
        new($"The architecture '{architecture}' of config.json is not known. Known are {known}.");
}
