using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>Attention in both directions, without its output projection. [batch, time, hidden] in and out.</summary>
internal sealed class SelfAttention : Module<Tensor, Tensor?, Tensor>
{
    private readonly int _heads;
    private readonly double _dropout;
    [ComponentName(Name = "query")] private readonly Linear _queries;
    [ComponentName(Name = "key")] private readonly Linear _keys;
    [ComponentName(Name = "value")] private readonly Linear _values;

    public SelfAttention(EncoderConfig config, bool bias, ScalarType dtype, Device? device) : base(nameof(SelfAttention))
    {
        (_heads, _dropout) = (config.NumAttentionHeads, config.AttentionProbsDropoutProb);
        _queries = Linear(config.HiddenSize, config.HiddenSize, bias, device, dtype);
        _keys = Linear(config.HiddenSize, config.HiddenSize, bias, device, dtype);
        _values = Linear(config.HiddenSize, config.HiddenSize, bias, device, dtype);
        RegisterComponents();
    }

    /// <param name="hidden">[batch, time, hidden].</param>
    /// <param name="mask">Where attention may look: bool [batch, 1, 1, time]; null for everywhere.</param>
    public override Tensor forward(Tensor hidden, Tensor? mask)
    {
        var mixed = Attention.Mix(Heads(_queries.call(hidden)), Heads(_keys.call(hidden)), Heads(_values.call(hidden)), mask, isCausal: false, training ? _dropout : 0);
        return mixed.transpose(1, 2).reshape(hidden.shape);
    }

    private Tensor Heads(Tensor projected) => projected.view(projected.shape[0], projected.shape[1], _heads, -1).transpose(1, 2);
}
