namespace AccelerateSharp;

/// <summary>The configuration of the Vision Transformer.</summary>
/// <example><code>
/// var model = new ViTForImageClassification(new ViTConfig { ImageSize = 28, PatchSize = 7, NumChannels = 1, HiddenSize = 64, IntermediateSize = 128, NumHiddenLayers = 4, NumAttentionHeads = 4, NumLabels = 10 });
/// </code></example>
public sealed record ViTConfig : EncoderConfig
{
    /// <summary>The base size, with patches of 16 pixels.</summary>
    public ViTConfig() => (ModelType, HiddenDropoutProb, AttentionProbsDropoutProb) = ("vit", 0, 0);

    /// <summary>Height and width of the images.</summary>
    public int ImageSize { get; set; } = 224;

    /// <summary>Height and width of a patch; divides <see cref="ImageSize"/>.</summary>
    public int PatchSize { get; set; } = 16;

    /// <summary>Channels of the images.</summary>
    public int NumChannels { get; set; } = 3;

    /// <summary>Whether queries, keys and values have a bias.</summary>
    public bool QkvBias { get; set; } = true;

    internal int Patches => ImageSize / PatchSize * (ImageSize / PatchSize);

    internal override void Check()
    {
        base.Check();
        if (PatchSize <= 0 || ImageSize % PatchSize != 0) throw new ArgumentException($"vit configuration: image_size ({ImageSize}) is no multiple of patch_size ({PatchSize}).");
    }
}
