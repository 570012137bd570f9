using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>BERT or RoBERTa below a head: what checkpoints call <c>bert</c> or <c>roberta</c>. Hidden state [batch, time, hidden] out.</summary>
internal sealed class BertStack : Module<ModelInputs, Tensor>
{
    [ComponentName(Name = "embeddings")] private readonly BertEmbeddings _embeddings;
    [ComponentName(Name = "encoder")] private readonly LayerStack<PostNormLayer> _encoder;
    [ComponentName(Name = "pooler")] private readonly Projection? _pooler;

    public BertStack(BertConfig config, bool hasPooler, ScalarType dtype, Device? device) : base(nameof(BertStack))
    {
        _embeddings = new BertEmbeddings(config, dtype, device);
        _encoder = Layers(config, dtype, device);
        if (hasPooler) _pooler = new Projection(config.HiddenSize, config.HiddenSize, dtype, device);
        RegisterComponents();
    }

    public Embedding Words => _embeddings.Words;

    public static LayerStack<PostNormLayer> Layers(BertConfig config, ScalarType dtype, Device? device) =>
        new(Enumerable.Range(0, config.NumHiddenLayers).Select(_ =>
            config.IsRoberta ? (PostNormLayer)new RobertaLayer(config, dtype, device) : new BertLayer(config, dtype, device)));

    /// <summary>The hidden state after the last layer, [batch, time, hidden].</summary>
    public static Tensor Run(BertEmbeddings embeddings, LayerStack<PostNormLayer> encoder, ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        return encoder.call(embeddings.call(inputs), Mask(inputs)).MoveToOuterDisposeScope();
    }

    /// <summary>The first token's state through a pooler, [batch, hidden].</summary>
    public static Tensor Pool(Projection pooler, Tensor hidden)
    {
        using var first = hidden.select(1, 0);
        using var projected = pooler.call(first);
        return projected.tanh();
    }

    public override Tensor forward(ModelInputs inputs) => Run(_embeddings, _encoder, inputs);

    /// <inheritdoc cref="Pool(Projection, Tensor)"/>
    public Tensor Pool(Tensor hidden) => Pool(_pooler!, hidden);

    /// <summary>Which tokens may be looked at, bool [batch, 1, 1, time]; null where all may, which the fastest kernels require.</summary>
    private static Tensor? Mask(ModelInputs inputs)
    {
        if (inputs.AttentionMask is not { } given) return null;
        if (!given.shape.SequenceEqual(inputs.InputIds!.shape))
            throw new ArgumentException($"AttentionMask is [{string.Join(", ", given.shape)}], InputIds [{string.Join(", ", inputs.InputIds!.shape)}]; both are [batch, time].", nameof(inputs));
        var tokens = given.@bool();
        return tokens.all().item<bool>() ? null : tokens.unsqueeze(1).unsqueeze(1);
    }
}
