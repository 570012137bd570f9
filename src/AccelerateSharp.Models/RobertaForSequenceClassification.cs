using AccelerateSharp.Models.Encoders;
using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>RoBERTa with a classifier of two layers over the first token.</summary>
public sealed class RobertaForSequenceClassification : TextEncoder
{
    [ComponentName(Name = "roberta")] private readonly BertStack _roberta;
    [ComponentName(Name = "classifier")] private readonly ClassifierHead _classifier;

    /// <summary>Builds the model with new random weights.</summary>
    /// <param name="config">Its configuration; <see cref="EncoderConfig.NumLabels"/> classes.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public RobertaForSequenceClassification(BertConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
        : base(config, "roberta", nameof(RobertaForSequenceClassification))
    {
        _roberta = new BertStack(config, hasPooler: false, dtype, device);
        _classifier = new ClassifierHead(config, dtype, device);
        RegisterComponents();
        Initialize();
    }

    /// <summary>Scores [batch, classes], and with labels the loss.</summary>
    /// <param name="input">Tokens, and what goes with them. Labels: int64 [batch], or floats for several classes at once and for regression.</param>
    public override ModelOutput forward(ModelInputs input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var scope = NewDisposeScope();
        var logits = _classifier.call(_roberta.call(input).select(1, 0));
        var loss = input.Labels is null ? null : ClassificationLoss.Of(logits, input.Labels, Settings);
        return new ModelOutput(logits.MoveToOuterDisposeScope(), loss?.MoveToOuterDisposeScope());
    }

    private sealed class ClassifierHead : Module<Tensor, Tensor>
    {
        private readonly double _dropout;
        [ComponentName(Name = "dense")] private readonly Linear _dense;
        [ComponentName(Name = "out_proj")] private readonly Linear _output;

        public ClassifierHead(BertConfig config, ScalarType dtype, Device? device) : base(nameof(ClassifierHead))
        {
            _dropout = config.ClassifierDropout ?? config.HiddenDropoutProb;
            _dense = Linear(config.HiddenSize, config.HiddenSize, device: device, dtype: dtype);
            _output = Linear(config.HiddenSize, config.Classes, device: device, dtype: dtype);
            RegisterComponents();
        }

        public override Tensor forward(Tensor first)
        {
            using var scope = NewDisposeScope();
            var inner = _dense.call(first.Drop(_dropout, training)).tanh();
            return _output.call(inner.Drop(_dropout, training)).MoveToOuterDisposeScope();
        }
    }
}
