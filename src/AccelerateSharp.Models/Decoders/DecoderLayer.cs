using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Decoders;

/// <summary>Attention, then a gated feed-forward part, each on normalised input and added to it.</summary>
/// <remarks>
/// Called with the hidden state, rows of cosines and sines, a mask and a cache. Nothing that it makes lives on but what autograd keeps.
/// </remarks>
internal abstract class DecoderLayer : Module<Tensor, Tensor, Tensor, Tensor?, KeyValueCache?, Tensor>
{
    [ComponentName(Name = "self_attn")] private protected readonly DecoderAttention _attention;
    [ComponentName(Name = "mlp")] private protected readonly GatedFeedForward _feedForward;
    [ComponentName(Name = "input_layernorm")] private protected readonly RmsNorm _attentionNorm;
    [ComponentName(Name = "post_attention_layernorm")] private protected readonly RmsNorm _feedForwardNorm;

    private protected DecoderLayer(LlamaConfig config, int layer, ScalarType dtype, Device? device, string name) : base(name)
    {
        _attention = new DecoderAttention(config, layer, dtype, device);
        _feedForward = new GatedFeedForward(config, dtype, device);
        _attentionNorm = new RmsNorm(config.HiddenSize, config.RmsNormEps, dtype, device);
        _feedForwardNorm = new RmsNorm(config.HiddenSize, config.RmsNormEps, dtype, device);
        RegisterComponents();
    }

    public sealed override Tensor forward(Tensor hidden, Tensor cos, Tensor sin, Tensor? mask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        var attended = hidden + _attention.call(_attentionNorm.call(hidden), cos, sin, mask, cache);
        return (attended + _feedForward.call(_feedForwardNorm.call(attended))).MoveToOuterDisposeScope();
    }
}

// The class names by which configurations of sharded training call the layers to wrap.
internal sealed class LlamaDecoderLayer(LlamaConfig config, int layer, ScalarType dtype, Device? device)
    : DecoderLayer(config, layer, dtype, device, nameof(LlamaDecoderLayer));

internal sealed class MistralDecoderLayer(LlamaConfig config, int layer, ScalarType dtype, Device? device)
    : DecoderLayer(config, layer, dtype, device, nameof(MistralDecoderLayer));

internal sealed class Qwen2DecoderLayer(LlamaConfig config, int layer, ScalarType dtype, Device? device)
    : DecoderLayer(config, layer, dtype, device, nameof(Qwen2DecoderLayer));

internal sealed class Qwen3DecoderLayer(LlamaConfig config, int layer, ScalarType dtype, Device? device)
    : DecoderLayer(config, layer, dtype, device, nameof(Qwen3DecoderLayer));
