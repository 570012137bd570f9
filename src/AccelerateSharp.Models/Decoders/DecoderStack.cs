using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Decoders;

/// <summary>The model without its head: token embedding, layers, last norm. Tokens [batch, time] in, hidden state [batch, time, hidden] out.</summary>
internal sealed class DecoderStack : Module<ModelInputs, Tensor>
{
    private readonly LlamaConfig _config;
    private readonly RotaryTables _rotary;
    [ComponentName(Name = "embed_tokens")] private readonly Embedding _tokens;
    [ComponentName(Name = "layers")] private readonly ModuleList<DecoderLayer> _layers;
    [ComponentName(Name = "norm")] private readonly RmsNorm _norm;

    public DecoderStack(LlamaConfig config, ScalarType dtype, Device? device) : base(nameof(DecoderStack))
    {
        (_config, _rotary) = (config, new RotaryTables(config));
        _tokens = Embedding(config.VocabSize, config.HiddenSize, device: device, dtype: dtype);
        _layers = new ModuleList<DecoderLayer>([.. Enumerable.Range(0, config.NumHiddenLayers).Select(layer => DecoderFamilies.Layer(config, layer, dtype, device))]);
        _norm = new RmsNorm(config.HiddenSize, config.RmsNormEps, dtype, device);
        RegisterComponents();
    }

    public Embedding Tokens => _tokens;

    public override Tensor forward(ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        var tokens = inputs.InputIds ?? throw new ArgumentException("A language model needs InputIds.", nameof(inputs));
        var (past, length) = (inputs.Cache?.Length ?? 0, tokens.shape[1]);
        var hidden = _tokens.call(tokens);
        // Under autocast the rows are multiplied with what a matrix product returned, but in full precision, as Hugging Face's models do.
        var dtype = AutocastDtype.TryGet(hidden.device.type, out _) ? ScalarType.Float32 : hidden.dtype;
        var (cos, sin) = _rotary.Rows(past, length, inputs.PositionIds, hidden.device, dtype);
        var masks = new CausalMasks(inputs.AttentionMask, past, length, tokens.device);
        for (var layer = 0; layer < _layers.Count; layer++)
        {
            var former = hidden;
            hidden = _layers[layer].call(hidden, cos, sin, masks.For(_config.WindowOf(layer)), inputs.Cache);
            former.Dispose();
        }
        inputs.Cache?.Advance(length);
        return _norm.call(hidden).MoveToOuterDisposeScope();
    }
}
