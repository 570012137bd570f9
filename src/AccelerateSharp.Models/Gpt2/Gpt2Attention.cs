using AccelerateSharp.Models.Internal;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Gpt2;

/// <summary>Causal attention with one projection for queries, keys and values.</summary>
internal sealed class Gpt2Attention : Module<Tensor, Tensor?, KeyValueCache?, Tensor>
{
    private readonly int _layer;
    private readonly int _heads;
    private readonly double _dropout;
    [ComponentName(Name = "c_attn")] private readonly Conv1D _input;
    [ComponentName(Name = "c_proj")] private readonly Conv1D _output;

    public Gpt2Attention(Gpt2Config config, int layer, ScalarType dtype, Device? device) : base(nameof(Gpt2Attention))
    {
        (_layer, _heads, _dropout) = (layer, config.NHead, config.AttnPdrop);
        _input = new Conv1D(config.NEmbd, 3 * config.NEmbd, dtype, device);
        _output = new Conv1D(config.NEmbd, config.NEmbd, dtype, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input, Tensor? mask, KeyValueCache? cache)
    {
        var (batch, length, width) = (input.shape[0], input.shape[1], input.shape[2]);
        var parts = _input.call(input).view(batch, length, 3, _heads, width / _heads).unbind(2);
        var (queries, keys, values) = (parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2));
        if (cache is not null) (keys, values) = cache.Append(_layer, keys, values, window: null);
        var mixed = Attention.Mix(queries, keys, values, mask, isCausal: mask is null && length > 1, training ? _dropout : 0);
        return _output.call(mixed.transpose(1, 2).reshape(batch, length, width));
    }
}
