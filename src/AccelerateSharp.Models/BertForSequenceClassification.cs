using AccelerateSharp.Models.Encoders;
using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>BERT with a classifier of the pooled first token.</summary>
/// <example><code>
/// var output = model.call(new() { InputIds = batch.InputIds, AttentionMask = batch.AttentionMask, TokenTypeIds = batch.TokenTypeIds, Labels = labels });
/// accelerator.Backward(output.Loss);
/// </code></example>
public sealed class BertForSequenceClassification : TextEncoder
{
    private readonly double _dropout;
    [ComponentName(Name = "bert")] private readonly BertStack _bert;
    [ComponentName(Name = "classifier")] private readonly Linear _classifier;

    /// <summary>Builds the model with new random weights.</summary>
    /// <param name="config">Its configuration; <see cref="EncoderConfig.NumLabels"/> classes.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public BertForSequenceClassification(BertConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
        : base(config, "bert", nameof(BertForSequenceClassification))
    {
        _dropout = config.ClassifierDropout ?? config.HiddenDropoutProb;
        _bert = new BertStack(config, hasPooler: true, dtype, device);
        _classifier = Linear(config.HiddenSize, config.Classes, device: device, dtype: dtype);
        RegisterComponents();
        Initialize();
    }

    /// <summary>Scores [batch, classes], and with labels the loss.</summary>
    /// <param name="input">Tokens, and what goes with them. Labels: int64 [batch], or floats for several classes at once and for regression.</param>
    public override ModelOutput forward(ModelInputs input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var scope = NewDisposeScope();
        var logits = _classifier.call(_bert.Pool(_bert.call(input)).Drop(_dropout, training));
        var loss = input.Labels is null ? null : ClassificationLoss.Of(logits, input.Labels, Settings);
        return new ModelOutput(logits.MoveToOuterDisposeScope(), loss?.MoveToOuterDisposeScope());
    }
}
