using AccelerateSharp.Models.Decoders;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Llama 1 to 3 with its language-modelling head.</summary>
/// <param name="config">Its configuration.</param>
/// <param name="dtype">The dtype of the weights.</param>
/// <param name="device">Where they are; by default on the CPU.</param>
/// <example><code>
/// var model = new LlamaForCausalLM(new LlamaConfig { HiddenSize = 256, IntermediateSize = 688, NumHiddenLayers = 4, NumAttentionHeads = 8 });
/// var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
/// </code></example>
public sealed class LlamaForCausalLM(LlamaConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    : DecoderForCausalLM(config, dtype, device, "llama", nameof(LlamaForCausalLM))
{
    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(LlamaDecoderLayer)];
}
