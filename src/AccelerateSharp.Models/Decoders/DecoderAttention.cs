using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Decoders;

/// <summary>Causal attention with rotary positions and, where the configuration says so, fewer heads for keys and values than for queries.</summary>
internal sealed class DecoderAttention : Module<Tensor, Tensor, Tensor, Tensor?, KeyValueCache?, Tensor>
{
    private readonly int _layer;
    private readonly int? _window;
    private readonly int _headWidth;
    private readonly double _dropout;
    [ComponentName(Name = "q_proj")] private readonly Linear _queries;
    [ComponentName(Name = "k_proj")] private readonly Linear _keys;
    [ComponentName(Name = "v_proj")] private readonly Linear _values;
    [ComponentName(Name = "o_proj")] private readonly Linear _output;
    [ComponentName(Name = "q_norm")] private readonly RmsNorm? _queryNorm;
    [ComponentName(Name = "k_norm")] private readonly RmsNorm? _keyNorm;

    public DecoderAttention(LlamaConfig config, int layer, ScalarType dtype, Device? device) : base(nameof(DecoderAttention))
    {
        (_layer, _window, _headWidth, _dropout) = (layer, config.WindowOf(layer), config.HeadWidth, config.AttentionDropout);
        var (hidden, queries, keys) = (config.HiddenSize, config.NumAttentionHeads * _headWidth, config.KeyValueHeads * _headWidth);
        _queries = Linear(hidden, queries, config.InputBias, device, dtype);
        _keys = Linear(hidden, keys, config.InputBias, device, dtype);
        _values = Linear(hidden, keys, config.InputBias, device, dtype);
        _output = Linear(queries, hidden, config.OutputBias, device, dtype);
        if (config.NormalizesHeads)
        {
            _queryNorm = new RmsNorm(_headWidth, config.RmsNormEps, dtype, device);
            _keyNorm = new RmsNorm(_headWidth, config.RmsNormEps, dtype, device);
        }
        RegisterComponents();
    }

    public override Tensor forward(Tensor input, Tensor cos, Tensor sin, Tensor? mask, KeyValueCache? cache)
    {
        var (batch, length) = (input.shape[0], input.shape[1]);
        var queries = Rotary.Apply(Heads(_queries.call(input), _queryNorm), cos, sin).transpose(1, 2);
        var keys = Rotary.Apply(Heads(_keys.call(input), _keyNorm), cos, sin).transpose(1, 2);
        var values = Heads(_values.call(input), norm: null).transpose(1, 2);
        if (cache is not null) (keys, values) = cache.Append(_layer, keys, values, length == 1 ? _window : null);
        var mixed = Attention.Mix(queries, keys, values, mask, isCausal: mask is null && length > 1, training ? _dropout : 0);
        return _output.call(mixed.transpose(1, 2).reshape(batch, length, -1));
    }

    /// <summary>[batch, time, heads * width] as [batch, time, heads, width].</summary>
    private Tensor Heads(Tensor projected, RmsNorm? norm)
    {
        var heads = projected.view(projected.shape[0], projected.shape[1], -1, _headWidth);
        return norm?.call(heads) ?? heads;
    }
}
