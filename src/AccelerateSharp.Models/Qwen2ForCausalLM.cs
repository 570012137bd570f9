using AccelerateSharp.Models.Decoders;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Qwen2: Llama with a bias on queries, keys and values.</summary>
/// <param name="config">Its configuration, with <see cref="PretrainedConfig.ModelType"/> <c>qwen2</c>.</param>
/// <param name="dtype">The dtype of the weights.</param>
/// <param name="device">Where they are; by default on the CPU.</param>
public sealed class Qwen2ForCausalLM(LlamaConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    : DecoderForCausalLM(config, dtype, device, "qwen2", nameof(Qwen2ForCausalLM))
{
    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(Qwen2DecoderLayer)];
}
