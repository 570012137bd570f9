using AccelerateSharp.Models.Encoders;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>BERT or RoBERTa without a head: returns <see cref="ModelOutput.LastHiddenState"/> and <see cref="ModelOutput.PoolerOutput"/>.</summary>
public abstract class TextEncoderModel : TextEncoder
{
    // They stand at the top, as checkpoints of the bare model name them.
    [ComponentName(Name = "embeddings")] private protected readonly BertEmbeddings _embeddings;
    [ComponentName(Name = "encoder")] private protected readonly LayerStack<PostNormLayer> _encoder;
    [ComponentName(Name = "pooler")] private protected readonly Projection _pooler;

    private protected TextEncoderModel(BertConfig config, ScalarType dtype, Device? device, string modelType, string name) : base(config, modelType, name)
    {
        _embeddings = new BertEmbeddings(config, dtype, device);
        _encoder = BertStack.Layers(config, dtype, device);
        _pooler = new Projection(config.HiddenSize, config.HiddenSize, dtype, device);
        RegisterComponents();
        Initialize();
    }

    /// <summary>The hidden state of every token, and the first one's through the pooler.</summary>
    /// <param name="input">Tokens, and what goes with them.</param>
    public sealed override ModelOutput forward(ModelInputs input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var scope = NewDisposeScope();
        var hidden = BertStack.Run(_embeddings, _encoder, input);
        return new ModelOutput(hiddenState: hidden.MoveToOuterDisposeScope(), pooled: BertStack.Pool(_pooler, hidden).MoveToOuterDisposeScope());
    }
}
