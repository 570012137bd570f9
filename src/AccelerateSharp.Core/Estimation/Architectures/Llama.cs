namespace AccelerateSharp.Estimation.Architectures;

/// <summary>Llama and its relatives: Mistral (the same tensors), Qwen2 (bias on queries, keys and values), Qwen3 (norms on queries and keys).</summary>
internal static class Llama
{
    /// <summary>
    /// The positions that rotary tables are counted for. Implementations that keep the tables fill them as far as the model reaches;
    /// those of models that reach further compute them as they go.
    /// </summary>
    public const int MaxRotaryPositions = 8192;

    public static ModelInventory Derive(ModelConfig config)
    {
        int hidden = config.Count("hidden_size"), layers = config.Count("num_hidden_layers"), heads = config.Count("num_attention_heads");
        int feedForward = config.Count("intermediate_size"), vocabulary = config.Count("vocab_size"), reach = config.Count("max_position_embeddings", 2048);
        int keyValueHeads = config.Count("num_key_value_heads", heads), width = config.Count("head_dim", config.ModelType == "qwen3" ? 128 : hidden / heads);
        if (heads % keyValueHeads != 0)
            throw new EstimationException($"num_attention_heads ({heads}) is no multiple of num_key_value_heads ({keyValueHeads}).");
        var attentionBias = config.Flag("attention_bias", absent: false);
        var inputBias = config.ModelType == "qwen2" || attentionBias;
        var feedForwardBias = config.Flag("mlp_bias", absent: false);
        long queries = (long)heads * width, keys = (long)keyValueHeads * width;

        var tensors = new TensorList();
        tensors.Parameter("model.embed_tokens", "weight", vocabulary, hidden);
        for (var i = 0; i < layers; i++)
        {
            var layer = $"model.layers.{i}";
            tensors.Linear(layer, "self_attn.q_proj", hidden, queries, inputBias);
            tensors.Linear(layer, "self_attn.k_proj", hidden, keys, inputBias);
            tensors.Linear(layer, "self_attn.v_proj", hidden, keys, inputBias);
            tensors.Linear(layer, "self_attn.o_proj", queries, hidden, attentionBias);
            if (config.ModelType == "qwen3")
            {
                tensors.Parameter(layer, "self_attn.q_norm.weight", width);
                tensors.Parameter(layer, "self_attn.k_norm.weight", width);
            }
            tensors.Linear(layer, "mlp.gate_proj", hidden, feedForward, feedForwardBias);
            tensors.Linear(layer, "mlp.up_proj", hidden, feedForward, feedForwardBias);
            tensors.Linear(layer, "mlp.down_proj", feedForward, hidden, feedForwardBias);
            tensors.Parameter(layer, "input_layernorm.weight", hidden);
            tensors.Parameter(layer, "post_attention_layernorm.weight", hidden);
            tensors.Buffer(layer, "self_attn.rotary_emb.cos_cached", bits: 32, Math.Min(reach, MaxRotaryPositions), width);
            tensors.Buffer(layer, "self_attn.rotary_emb.sin_cached", bits: 32, Math.Min(reach, MaxRotaryPositions), width);
        }
        tensors.Parameter("model.norm", "weight", hidden);

        var isLanguageModel = config.Architecture.EndsWith("ForCausalLM", StringComparison.Ordinal);
        if (isLanguageModel && !config.Flag("tie_word_embeddings", absent: false))
            tensors.Linear("lm_head", "", hidden, vocabulary, bias: false, TensorRole.HeadParameter);
        if (config.Architecture.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
            tensors.Linear("score", "", hidden, config.LabelCount, bias: false, TensorRole.HeadParameter);
        return new ModelInventory(config.ModelType, tensors.All, new TransformerGeometry
        {
            Layers = layers,
            Hidden = hidden,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadWidth = width,
            FeedForward = feedForward,
            IsGated = true,
            Logits = isLanguageModel ? vocabulary : 0,
            MaxSequenceLength = reach,
        });
    }
}
