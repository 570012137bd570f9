using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.TrainLlama;

/// <summary>The shapes that benchmarks/train_llama_peer.py has too, under the same names.</summary>
internal static class Presets
{
    public static LlamaConfig Get(string name) => name switch
    {
        "tiny" => Shape(vocabulary: 1024, hidden: 64, layers: 2, heads: 4, keyValueHeads: 2, inner: 176),
        "160m" => Shape(vocabulary: 32000, hidden: 768, layers: 12, heads: 12, keyValueHeads: 12, inner: 2048),
        "1.5b" => Shape(vocabulary: 32000, hidden: 2048, layers: 28, heads: 16, keyValueHeads: 16, inner: 5504),
        "8b" => Shape(vocabulary: 128256, hidden: 4096, layers: 32, heads: 32, keyValueHeads: 8, inner: 14336),
        _ => throw new ArgumentException($"--preset {name}: it is one of tiny, 160m, 1.5b, 8b."),
    };

    /// <summary>
    /// Floating-point operations that a token needs: six for each weight that multiplies (the embedding only looks up), and the
    /// two products of causal attention, of which half is masked. What is computed again is not counted.
    /// </summary>
    public static double OperationsPerToken(LlamaConfig config, long parameters, int length) =>
        (6.0 * (parameters - ((long)config.VocabSize * config.HiddenSize))) + (6.0 * config.NumHiddenLayers * config.HiddenSize * length);

    /// <summary>New values of a parameter, or of a part of it: norms of one, the rest normally distributed.</summary>
    public static void Initialize(string name, Tensor part)
    {
        if (name.Contains("norm", StringComparison.Ordinal)) nn.init.ones_(part);
        else nn.init.normal_(part, 0, 0.02);
    }

    private static LlamaConfig Shape(int vocabulary, int hidden, int layers, int heads, int keyValueHeads, int inner) => new()
    {
        VocabSize = vocabulary,
        HiddenSize = hidden,
        NumHiddenLayers = layers,
        NumAttentionHeads = heads,
        NumKeyValueHeads = keyValueHeads,
        IntermediateSize = inner,
        MaxPositionEmbeddings = 8192,
        RmsNormEps = 1e-5,
    };
}
