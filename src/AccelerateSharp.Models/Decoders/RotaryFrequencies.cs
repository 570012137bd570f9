using static TorchSharp.torch;

namespace AccelerateSharp.Models.Decoders;

/// <summary>The angular frequencies of rotary positions, and the scalings that stretch them for longer texts.</summary>
/// <remarks>
/// Su et al., RoFormer (arXiv 2104.09864); linear: Chen et al. (2306.15595); dynamic: bloc97's NTK-aware scaling; yarn: Peng et al.
/// (2309.00071); llama3: the model card of Llama 3.1. All in float32, as the models were trained.
/// </remarks>
internal static class RotaryFrequencies
{
    /// <summary>Radians per position, float32 [width / 2], on the CPU.</summary>
    /// <param name="config">The model's configuration.</param>
    /// <param name="length">The longest text so far, on which <c>dynamic</c> depends.</param>
    public static Tensor Compute(LlamaConfig config, long length)
    {
        var (rope, width, theta) = (config.Rope, config.HeadWidth, config.Theta);
        return rope.Kind switch
        {
            "linear" => Plain(theta, width) / (float)Factor(rope),
            "dynamic" => Dynamic(config, theta, width, length),
            "llama3" => Llama3(rope, Plain(theta, width)),
            "yarn" => Yarn(config, theta, width),
            _ => Plain(theta, width),
        };
    }

    /// <summary>What the rotated vectors are multiplied by.</summary>
    public static double Scale(LlamaConfig config) =>
        config.Rope.Kind != "yarn" ? 1 : config.Rope.AttentionFactor ?? (Factor(config.Rope) <= 1 ? 1 : 0.1 * Math.Log(Factor(config.Rope)) + 1);

    /// <summary>Whether the frequencies depend on the length of the text.</summary>
    public static bool DependsOnLength(LlamaConfig config) => config.Rope.Kind == "dynamic";

    private static Tensor Plain(double theta, int width)
    {
        var exponents = arange(0, width, 2, ScalarType.Float32) / width;
        return 1f / pow((float)theta, exponents);
    }

    private static Tensor Dynamic(LlamaConfig config, double theta, int width, long length)
    {
        var trained = config.Rope.OriginalMaxPositionEmbeddings ?? config.MaxPositionEmbeddings;
        var factor = Factor(config.Rope);
        var reach = Math.Max(length, trained);
        return Plain(theta * Math.Pow(factor * reach / trained - (factor - 1), width / (width - 2.0)), width);
    }

    private static Tensor Llama3(RopeParameters rope, Tensor frequencies)
    {
        var (low, high) = (Required(rope.LowFreqFactor, "low_freq_factor"), Required(rope.HighFreqFactor, "high_freq_factor"));
        double trained = Required(rope.OriginalMaxPositionEmbeddings, "original_max_position_embeddings");
        var (factor, waves) = (Factor(rope), 2 * Math.PI / frequencies);
        var stretched = where(waves > trained / low, frequencies / factor, frequencies);
        var smooth = (trained / waves - low) / (high - low);
        var between = (1 - smooth) * stretched / factor + smooth * stretched;
        return where((waves >= trained / high).logical_and(waves <= trained / low), between, stretched);
    }

    private static Tensor Yarn(LlamaConfig config, double theta, int width)
    {
        var rope = config.Rope;
        var trained = rope.OriginalMaxPositionEmbeddings ?? config.MaxPositionEmbeddings;
        var first = Math.Max(Math.Floor(Dimension(rope.BetaFast ?? 32)), 0);
        var last = Math.Min(Math.Ceiling(Dimension(rope.BetaSlow ?? 1)), width - 1);
        if (first == last) last += 0.001;
        var stretched = ((arange(width / 2, ScalarType.Float32) - first) / (last - first)).clamp(0, 1);
        var frequencies = Plain(theta, width);
        return frequencies / Factor(rope) * stretched + frequencies * (1 - stretched);

        // The dimension whose wave turns so often over the trained length.
        double Dimension(double turns) => width * Math.Log(trained / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
    }

    private static double Factor(RopeParameters rope) => Required(rope.Factor, "factor");

    private static T Required<T>(T? value, string name) where T : struct =>
        value ?? throw new ArgumentException($"Rotary positions scaled in a way that needs '{name}', which the configuration lacks.");
}
