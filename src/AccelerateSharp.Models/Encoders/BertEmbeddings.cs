using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>The sum of a token's, a position's and a type's embedding, normalised.</summary>
internal sealed class BertEmbeddings : Module<ModelInputs, Tensor>
{
    private readonly BertConfig _config;
    [ComponentName(Name = "word_embeddings")] private readonly Embedding _words;
    [ComponentName(Name = "position_embeddings")] private readonly Embedding _positions;
    [ComponentName(Name = "token_type_embeddings")] private readonly Embedding _types;
    [ComponentName(Name = "LayerNorm")] private readonly LayerNorm _norm;

    public BertEmbeddings(BertConfig config, ScalarType dtype, Device? device) : base(nameof(BertEmbeddings))
    {
        _config = config;
        // The padding's row gets no gradient; RoBERTa counts positions from it on.
        _words = Embedding(config.VocabSize, config.HiddenSize, padding_idx: config.Padding, device: device, dtype: dtype);
        _positions = Embedding(config.MaxPositionEmbeddings, config.HiddenSize, padding_idx: config.IsRoberta ? config.Padding : null, device: device, dtype: dtype);
        _types = Embedding(config.TypeVocabSize, config.HiddenSize, device: device, dtype: dtype);
        _norm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        RegisterComponents();
    }

    public Embedding Words => _words;

    public override Tensor forward(ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        var tokens = inputs.InputIds ?? throw new ArgumentException("A text encoder needs InputIds.", nameof(inputs));
        var first = _config.IsRoberta ? _config.Padding + 1 : 0;
        if (tokens.shape[1] > _config.MaxPositionEmbeddings - first)
        {
            throw new ArgumentException(
                $"{_config.ModelType} has embeddings for {_config.MaxPositionEmbeddings - first} positions; {tokens.shape[1]} tokens are too many. Truncate the texts (maxLength).", nameof(inputs));
        }
        var positions = inputs.PositionIds ?? (_config.IsRoberta ? CountedPositions(tokens) : arange(tokens.shape[1], device: tokens.device).unsqueeze(0));
        var types = inputs.TokenTypeIds ?? zeros_like(tokens);
        var sum = _words.call(tokens) + _types.call(types) + _positions.call(positions);
        return _norm.call(sum).Drop(_config.HiddenDropoutProb, training).MoveToOuterDisposeScope();
    }

    /// <summary>RoBERTa's positions: those of the tokens that are no padding, counted from the pad token's number plus one on.</summary>
    private Tensor CountedPositions(Tensor tokens)
    {
        var isToken = tokens.ne(_config.Padding).to(ScalarType.Int64);
        return isToken.cumsum(1) * isToken + _config.Padding;
    }
}
