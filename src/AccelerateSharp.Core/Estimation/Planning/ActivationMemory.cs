namespace AccelerateSharp.Estimation.Planning;

/// <summary>
/// The activations that a transformer keeps for its backward pass: the count of Korthikanti et al., "Reducing Activation Recomputation
/// in Large Transformer Models" (2022), section 4, for any width of heads and feed-forward network, with attention that keeps no
/// matrix of scores (FlashAttention). For their model (GPT, 16 bits, feed-forward of 4h) it is their 34 s b h for each block.
/// </summary>
internal static class ActivationMemory
{
    /// <summary>The activations of one block, in bytes.</summary>
    public static double Block(TransformerGeometry model, long batch, long sequence, int elementBytes)
    {
        double tokens = batch * sequence;
        double queries = (double)model.Heads * model.HeadWidth, keys = (double)model.KeyValueHeads * model.HeadWidth;
        var norms = 2.0 * model.Hidden;
        // The input of the projections; queries, keys and values; the input of the output projection.
        var attention = model.Hidden + queries + 2 * keys + queries;
        // The input, then: gate, up, activated gate and product, or what goes into the activation and what comes out of it.
        var feedForward = model.Hidden + (model.IsGated ? 4.0 : 2.0) * model.FeedForward;
        var masks = model.HasDropout ? 2.0 * model.Hidden : 0;
        // One float of the softmax for each head and position.
        var softmax = 4.0 * model.Heads;
        return tokens * (elementBytes * (norms + attention + feedForward) + masks + softmax);
    }

    /// <summary>The activations of the whole model, in bytes.</summary>
    public static double Model(TransformerGeometry model, long batch, long sequence, int elementBytes, bool checkpointing)
    {
        double tokens = batch * sequence;
        var block = Block(model, batch, sequence, elementBytes);
        var boundary = tokens * model.Hidden * elementBytes;
        // Embedding, last norm and head each keep their input. Logits are there as computed, as log-probabilities and as gradient in float32.
        var outside = 3 * boundary + tokens * model.Logits * (elementBytes + 4 + 4);
        return outside + (checkpointing ? model.Layers * boundary + block : model.Layers * block);
    }
}
