using AccelerateSharp.Models.Decoders;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Qwen3: Llama that normalises the queries and keys of each head.</summary>
/// <param name="config">Its configuration, with <see cref="PretrainedConfig.ModelType"/> <c>qwen3</c>.</param>
/// <param name="dtype">The dtype of the weights.</param>
/// <param name="device">Where they are; by default on the CPU.</param>
public sealed class Qwen3ForCausalLM(LlamaConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    : DecoderForCausalLM(config, dtype, device, "qwen3", nameof(Qwen3ForCausalLM))
{
    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(Qwen3DecoderLayer)];
}
