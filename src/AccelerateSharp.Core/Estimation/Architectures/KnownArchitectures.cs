namespace AccelerateSharp.Estimation.Architectures;

/// <summary>The architectures whose tensors follow from <c>config.json</c> alone.</summary>
internal static class KnownArchitectures
{
    /// <summary>Their names, for messages.</summary>
    public const string Names = "llama, mistral, qwen2, qwen3, gpt2, bert, roberta, vit";

    /// <summary>The tensors of a model, or null where its architecture is not known.</summary>
    /// <exception cref="EstimationException">The config of a known architecture is incomplete or contradictory.</exception>
    public static ModelInventory? Derive(ModelConfig config) => config.ModelType switch
    {
        "llama" or "mistral" or "qwen2" or "qwen3" => Llama.Derive(config),
        "gpt2" => Gpt2.Derive(config),
        "bert" or "roberta" or "xlm-roberta" or "camembert" => Bert.Derive(config),
        "vit" => VisionTransformer.Derive(config),
        _ => null,
    };
}
