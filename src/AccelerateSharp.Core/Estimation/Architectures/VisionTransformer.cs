namespace AccelerateSharp.Estimation.Architectures;

/// <summary>The Vision Transformer, with the pooler that its base model has.</summary>
internal static class VisionTransformer
{
    public static ModelInventory Derive(ModelConfig config)
    {
        int hidden = config.Count("hidden_size", 768), layers = config.Count("num_hidden_layers", 12), heads = config.Count("num_attention_heads", 12);
        int feedForward = config.Count("intermediate_size", 4 * hidden), channels = config.Count("num_channels", 3);
        int image = config.Count("image_size", 224), patch = config.Count("patch_size", 16);
        var positions = (image / patch * (image / patch)) + 1;
        var bias = config.Flag("qkv_bias", absent: true);

        var tensors = new TensorList();
        tensors.Parameter("embeddings", "cls_token", 1, 1, hidden);
        tensors.Parameter("embeddings", "position_embeddings", 1, positions, hidden);
        tensors.Parameter("embeddings", "patch_embeddings.projection.weight", hidden, channels, patch, patch);
        tensors.Parameter("embeddings", "patch_embeddings.projection.bias", hidden);
        for (var i = 0; i < layers; i++)
        {
            var layer = $"encoder.layer.{i}";
            foreach (var name in (string[])["query", "key", "value"]) tensors.Linear(layer, $"attention.attention.{name}", hidden, hidden, bias);
            tensors.Linear(layer, "attention.output.dense", hidden, hidden);
            tensors.Linear(layer, "intermediate.dense", hidden, feedForward);
            tensors.Linear(layer, "output.dense", feedForward, hidden);
            tensors.LayerNorm(layer, "layernorm_before", hidden);
            tensors.LayerNorm(layer, "layernorm_after", hidden);
        }
        tensors.LayerNorm("layernorm", "", hidden);
        tensors.Linear("pooler", "dense", hidden, hidden);
        if (config.Architecture.EndsWith("ForImageClassification", StringComparison.Ordinal))
            tensors.Linear("classifier", "", hidden, config.LabelCount, role: TensorRole.HeadParameter);
        return new ModelInventory(config.ModelType, tensors.All, new TransformerGeometry
        {
            Layers = layers,
            Hidden = hidden,
            Heads = heads,
            KeyValueHeads = heads,
            HeadWidth = hidden / heads,
            FeedForward = feedForward,
            HasDropout = config.IsPositive("hidden_dropout_prob", absent: 0),
            FixedSequenceLength = positions,
        });
    }
}
