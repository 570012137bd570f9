using AccelerateSharp.Models.Decoders;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Mistral: Llama whose tokens see a window of positions.</summary>
/// <param name="config">Its configuration, with <see cref="PretrainedConfig.ModelType"/> <c>mistral</c>.</param>
/// <param name="dtype">The dtype of the weights.</param>
/// <param name="device">Where they are; by default on the CPU.</param>
public sealed class MistralForCausalLM(LlamaConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    : DecoderForCausalLM(config, dtype, device, "mistral", nameof(MistralForCausalLM))
{
    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(MistralDecoderLayer)];
}
