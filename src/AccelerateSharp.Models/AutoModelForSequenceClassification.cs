using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>A saved text encoder with a classifier on top, whichever family it is of.</summary>
public static class AutoModelForSequenceClassification
{
    /// <summary>Builds BERT or RoBERTa with a classifier and fills it with saved weights; a classifier that the files lack is new, which is told.</summary>
    /// <param name="folder">A folder in the layout of the Hub; its model may have another head or none.</param>
    /// <param name="numLabels">Number of classes; by default what the configuration says, or 2.</param>
    /// <param name="dtype">What floating-point weights become; by default they stay as they are saved.</param>
    /// <param name="device">Where they come to be; by default the CPU.</param>
    /// <returns>The model, in evaluation mode.</returns>
    /// <inheritdoc cref="PretrainedModel.FromPretrained(string, ScalarType?, Device?)" path="/exception"/>
    public static TextEncoder FromPretrained(string folder, int? numLabels = null, ScalarType? dtype = null, Device? device = null) =>
        (TextEncoder)PretrainedModel.FromPretrained(folder, config => config is BertConfig bert
            ? bert with
            {
                Architectures = [bert.IsRoberta ? nameof(RobertaForSequenceClassification) : nameof(BertForSequenceClassification)],
                NumLabels = numLabels ?? bert.NumLabels,
                Id2Label = numLabels is null ? bert.Id2Label : null,
                Label2Id = numLabels is null ? bert.Label2Id : null,
            }
            : throw new NotSupportedException($"{folder}: models of the type '{config.ModelType}' have no classifier of texts here. Known are bert, roberta."), dtype, device);
}
