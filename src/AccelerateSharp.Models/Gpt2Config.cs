namespace AccelerateSharp;

/// <summary>The configuration of GPT-2.</summary>
public sealed record Gpt2Config : PretrainedConfig
{
    /// <summary>The smallest GPT-2.</summary>
    public Gpt2Config() => (ModelType, TieWordEmbeddings) = ("gpt2", true);

    /// <summary>Number of tokens.</summary>
    public int VocabSize { get; set; } = 50257;

    /// <summary>Positions that the model has embeddings for.</summary>
    public int NPositions { get; set; } = 1024;

    /// <summary>Width of the residual stream.</summary>
    public int NEmbd { get; set; } = 768;

    /// <summary>Number of layers.</summary>
    public int NLayer { get; set; } = 12;

    /// <summary>Number of heads.</summary>
    public int NHead { get; set; } = 12;

    /// <summary>Width inside of the feed-forward part; by default four times <see cref="NEmbd"/>.</summary>
    public int? NInner { get; set; }

    /// <summary><c>gelu_new</c> (the tanh form), <c>gelu</c> or <c>relu</c>.</summary>
    public string ActivationFunction { get; set; } = "gelu_new";

    /// <summary>Dropout of what is added to the residual stream.</summary>
    public double ResidPdrop { get; set; } = 0.1;

    /// <summary>Dropout of the embeddings.</summary>
    public double EmbdPdrop { get; set; } = 0.1;

    /// <summary>Dropout of the attention weights.</summary>
    public double AttnPdrop { get; set; } = 0.1;

    /// <summary>Added to the variance before its root is taken.</summary>
    public double LayerNormEpsilon { get; set; } = 1e-5;

    /// <summary>Whether attention scores are divided by the root of a head's width; only true.</summary>
    public bool ScaleAttnWeights { get; set; } = true;

    /// <summary>Whether they are divided by the number of the layer too; only false.</summary>
    public bool ScaleAttnByInverseLayerIdx { get; set; }

    /// <exception cref="ArgumentException">A setting contradicts another, or is not supported; the message names it.</exception>
    internal void Check()
    {
        if (NHead <= 0 || NEmbd % NHead != 0) throw new ArgumentException($"gpt2 configuration: n_embd ({NEmbd}) is no multiple of n_head ({NHead}).");
        if (ActivationFunction is not ("gelu_new" or "gelu" or "relu"))
            throw new ArgumentException($"gpt2 configuration: activation_function is '{ActivationFunction}'; supported are gelu_new, gelu, relu.");
        if (!ScaleAttnWeights || ScaleAttnByInverseLayerIdx)
            throw new ArgumentException("gpt2 configuration: scale_attn_weights must be true and scale_attn_by_inverse_layer_idx false.");
    }
}
