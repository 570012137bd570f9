using AccelerateSharp.Models.Encoders;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>The Vision Transformer with a classifier of the token that stands for the whole image.</summary>
/// <example><code>
/// var output = model.call(new() { PixelValues = images, Labels = labels });
/// </code></example>
public sealed class ViTForImageClassification : PretrainedModel
{
    private static readonly (string Older, string Newer)[] _newerNames =
    [
        (".encoder.layer.", ".layers."), ("attention.attention.query", "attention.q_proj"), ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"), ("attention.output.dense", "attention.o_proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
    ];

    [ComponentName(Name = "vit")] private readonly ViTStack _vit;
    [ComponentName(Name = "classifier")] private readonly Linear _classifier;

    /// <summary>Builds the model with new random weights.</summary>
    /// <param name="config">Its configuration; <see cref="EncoderConfig.NumLabels"/> classes.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public ViTForImageClassification(ViTConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
        : base(config ?? throw new ArgumentNullException(nameof(config)), nameof(ViTForImageClassification))
    {
        if (config.ModelType != "vit") throw new ArgumentException($"{nameof(ViTForImageClassification)} needs a configuration of the type 'vit', not '{config.ModelType}'.", nameof(config));
        config.Check();
        _vit = new ViTStack(config, dtype, device);
        _classifier = Linear(config.HiddenSize, config.Classes, device: device, dtype: dtype);
        RegisterComponents();
        Initialize();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(ViTLayer)];

    private protected override string BasePrefix => "vit";

    internal override string? NameInCheckpoint(string parameter, Func<string, bool> contains) =>
        base.NameInCheckpoint(parameter, contains) ?? base.NameInCheckpoint(NewerName(parameter), contains);

    /// <summary>The name that transformers 5 gives a parameter in memory; checkpoints have the older one nearly always.</summary>
    internal static string NewerName(string parameter) => _newerNames.Aggregate(parameter, (name, pair) => name.Replace(pair.Older, pair.Newer, StringComparison.Ordinal));

    /// <summary>Scores [batch, classes], and with labels the loss.</summary>
    /// <param name="input">PixelValues, float [batch, channels, height, width]. Labels: int64 [batch], or floats for several classes at once.</param>
    public override ModelOutput forward(ModelInputs input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var scope = NewDisposeScope();
        var logits = _classifier.call(_vit.call(input).select(1, 0));
        var loss = input.Labels is null ? null : ClassificationLoss.Of(logits, input.Labels, (ViTConfig)Config);
        return new ModelOutput(logits.MoveToOuterDisposeScope(), loss?.MoveToOuterDisposeScope());
    }
}
