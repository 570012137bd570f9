using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Gpt2;

/// <summary>Attention, then a feed-forward part, each on normalised input and added to it.</summary>
internal sealed class GPT2Block : Module<Tensor, Tensor?, KeyValueCache?, Tensor>
{
    private readonly double _dropout;
    [ComponentName(Name = "ln_1")] private readonly LayerNorm _attentionNorm;
    [ComponentName(Name = "attn")] private readonly Gpt2Attention _attention;
    [ComponentName(Name = "ln_2")] private readonly LayerNorm _feedForwardNorm;
    [ComponentName(Name = "mlp")] private readonly Gpt2FeedForward _feedForward;

    public GPT2Block(Gpt2Config config, int layer, ScalarType dtype, Device? device) : base(nameof(GPT2Block))
    {
        _dropout = config.ResidPdrop;
        _attentionNorm = LayerNorm(config.NEmbd, config.LayerNormEpsilon, device: device, dtype: dtype);
        _attention = new Gpt2Attention(config, layer, dtype, device);
        _feedForwardNorm = LayerNorm(config.NEmbd, config.LayerNormEpsilon, device: device, dtype: dtype);
        _feedForward = new Gpt2FeedForward(config, dtype, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, Tensor? mask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        var attended = hidden + _attention.call(_attentionNorm.call(hidden), mask, cache).Drop(_dropout, training);
        return (attended + _feedForward.call(_feedForwardNorm.call(attended)).Drop(_dropout, training)).MoveToOuterDisposeScope();
    }
}
