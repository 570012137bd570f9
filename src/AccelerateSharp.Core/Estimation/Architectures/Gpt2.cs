namespace AccelerateSharp.Estimation.Architectures;

/// <summary>GPT-2. Its matrices are stored as (inputs, outputs), and each block keeps the causal mask as a buffer.</summary>
internal static class Gpt2
{
    public static ModelInventory Derive(ModelConfig config)
    {
        int hidden = config.Count("n_embd"), layers = config.Count("n_layer"), heads = config.Count("n_head");
        int vocabulary = config.Count("vocab_size"), positions = config.Count("n_positions", 1024), feedForward = config.Count("n_inner", 4 * hidden);

        var tensors = new TensorList();
        tensors.Parameter("wte", "weight", vocabulary, hidden);
        tensors.Parameter("wpe", "weight", positions, hidden);
        for (var i = 0; i < layers; i++)
        {
            var layer = $"h.{i}";
            tensors.LayerNorm(layer, "ln_1", hidden);
            Conv1D(layer, "attn.c_attn", hidden, 3L * hidden);
            Conv1D(layer, "attn.c_proj", hidden, hidden);
            // The mask is of truth values, which the reference counts as an eighth of a byte.
            tensors.Buffer(layer, "attn.bias", bits: 1, 1, 1, positions, positions);
            tensors.Buffer(layer, "attn.masked_bias", bits: 32);
            tensors.LayerNorm(layer, "ln_2", hidden);
            Conv1D(layer, "mlp.c_fc", hidden, feedForward);
            Conv1D(layer, "mlp.c_proj", feedForward, hidden);
        }
        tensors.LayerNorm("ln_f", "", hidden);

        var isLanguageModel = config.Architecture.EndsWith("LMHeadModel", StringComparison.Ordinal);
        if (isLanguageModel && !config.Flag("tie_word_embeddings", absent: true))
            tensors.Linear("lm_head", "", hidden, vocabulary, bias: false, TensorRole.HeadParameter);
        if (config.Architecture.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
            tensors.Linear("score", "", hidden, config.LabelCount, bias: false, TensorRole.HeadParameter);
        return new ModelInventory(config.ModelType, tensors.All, new TransformerGeometry
        {
            Layers = layers,
            Hidden = hidden,
            Heads = heads,
            KeyValueHeads = heads,
            HeadWidth = hidden / heads,
            FeedForward = feedForward,
            HasDropout = config.IsPositive("resid_pdrop", absent: 0.1),
            Logits = isLanguageModel ? vocabulary : 0,
            MaxSequenceLength = positions,
        });

        void Conv1D(string layer, string name, long inputs, long outputs)
        {
            tensors.Parameter(layer, name + ".weight", inputs, outputs);
            tensors.Parameter(layer, name + ".bias", outputs);
        }
    }
}
