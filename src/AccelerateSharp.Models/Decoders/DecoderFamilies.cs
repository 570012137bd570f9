using AccelerateSharp.Models.Configuration;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Decoders;

/// <summary>The models that predict the next token.</summary>
internal static class DecoderFamilies
{
    public static ModelFamily Llama { get; } = new(
        ["llama", "mistral", "qwen2", "qwen3"], ConfigJson.Default.LlamaConfig, static (config, _, dtype, device) => Build((LlamaConfig)config, dtype, device));

    public static ModelFamily Gpt2 { get; } = new(
        ["gpt2"], ConfigJson.Default.Gpt2Config, static (config, _, dtype, device) => new GPT2LMHeadModel((Gpt2Config)config, dtype, device));

    public static DecoderLayer Layer(LlamaConfig config, int layer, ScalarType dtype, Device? device) => config.ModelType switch
    {
        "mistral" => new MistralDecoderLayer(config, layer, dtype, device),
        "qwen2" => new Qwen2DecoderLayer(config, layer, dtype, device),
        "qwen3" => new Qwen3DecoderLayer(config, layer, dtype, device),
        _ => new LlamaDecoderLayer(config, layer, dtype, device),
    };

    private static PretrainedModel Build(LlamaConfig config, ScalarType dtype, Device? device) => config.ModelType switch
    {
        "mistral" => new MistralForCausalLM(config, dtype, device),
        "qwen2" => new Qwen2ForCausalLM(config, dtype, device),
        "qwen3" => new Qwen3ForCausalLM(config, dtype, device),
        _ => new LlamaForCausalLM(config, dtype, device),
    };
}
