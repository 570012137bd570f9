namespace AccelerateSharp.Estimation.Architectures;

/// <summary>BERT and RoBERTa, with the pooler that their base models have.</summary>
internal static class Bert
{
    public static ModelInventory Derive(ModelConfig config)
    {
        int hidden = config.Count("hidden_size"), layers = config.Count("num_hidden_layers"), heads = config.Count("num_attention_heads");
        int feedForward = config.Count("intermediate_size"), vocabulary = config.Count("vocab_size");
        int positions = config.Count("max_position_embeddings", 512), types = config.Count("type_vocab_size", 2);

        var tensors = new TensorList();
        tensors.Parameter("embeddings", "word_embeddings.weight", vocabulary, hidden);
        tensors.Parameter("embeddings", "position_embeddings.weight", positions, hidden);
        tensors.Parameter("embeddings", "token_type_embeddings.weight", types, hidden);
        tensors.LayerNorm("embeddings", "LayerNorm", hidden);
        tensors.Buffer("embeddings", "position_ids", bits: 64, 1, positions);
        tensors.Buffer("embeddings", "token_type_ids", bits: 64, 1, positions);
        for (var i = 0; i < layers; i++)
        {
            var layer = $"encoder.layer.{i}";
            foreach (var name in (string[])["query", "key", "value"]) tensors.Linear(layer, $"attention.self.{name}", hidden, hidden);
            tensors.Linear(layer, "attention.output.dense", hidden, hidden);
            tensors.LayerNorm(layer, "attention.output.LayerNorm", hidden);
            tensors.Linear(layer, "intermediate.dense", hidden, feedForward);
            tensors.Linear(layer, "output.dense", feedForward, hidden);
            tensors.LayerNorm(layer, "output.LayerNorm", hidden);
        }
        tensors.Linear("pooler", "dense", hidden, hidden);
        var isMaskedModel = AddHead(tensors, config, hidden, vocabulary);
        return new ModelInventory(config.ModelType, tensors.All, new TransformerGeometry
        {
            Layers = layers,
            Hidden = hidden,
            Heads = heads,
            KeyValueHeads = heads,
            HeadWidth = hidden / heads,
            FeedForward = feedForward,
            HasDropout = config.IsPositive("hidden_dropout_prob", absent: 0.1),
            Logits = isMaskedModel ? vocabulary : 0,
            // RoBERTa's positions begin behind the padding index.
            MaxSequenceLength = config.ModelType == "bert" ? positions : Math.Max(1, positions - 2),
        });
    }

    private static bool AddHead(TensorList tensors, ModelConfig config, int hidden, int vocabulary)
    {
        if (config.Architecture.EndsWith("ForMaskedLM", StringComparison.Ordinal) || config.Architecture == "BertForPreTraining")
        {
            tensors.Linear("lm_head", "dense", hidden, hidden, role: TensorRole.HeadParameter);
            tensors.LayerNorm("lm_head", "layer_norm", hidden, TensorRole.HeadParameter);
            tensors.Add("lm_head", "bias", TensorRole.HeadParameter, vocabulary);
            if (!config.Flag("tie_word_embeddings", absent: true))
                tensors.Add("lm_head", "decoder.weight", TensorRole.HeadParameter, vocabulary, hidden);
            return true;
        }
        if (config.Architecture.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
        {
            if (config.ModelType != "bert") tensors.Linear("classifier", "dense", hidden, hidden, role: TensorRole.HeadParameter);
            tensors.Linear("classifier", config.ModelType == "bert" ? "" : "out_proj", hidden, config.LabelCount, role: TensorRole.HeadParameter);
        }
        return false;
    }
}
