using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>An image as a row of patches, with a token for the whole image before them and positions added. [batch, patches + 1, hidden] out.</summary>
internal sealed class PatchEmbeddings : Module<ModelInputs, Tensor>
{
    private readonly ViTConfig _config;
    [ComponentName(Name = "cls_token")] private readonly Parameter _whole;
    [ComponentName(Name = "position_embeddings")] private readonly Parameter _positions;
    [ComponentName(Name = "patch_embeddings")] private readonly PatchProjection _patches;

    public PatchEmbeddings(ViTConfig config, ScalarType dtype, Device? device) : base(nameof(PatchEmbeddings))
    {
        _config = config;
        _whole = Parameter(zeros([1, 1, config.HiddenSize], dtype, device));
        _positions = Parameter(zeros([1, config.Patches + 1, config.HiddenSize], dtype, device));
        _patches = new PatchProjection(config, dtype, device);
        RegisterComponents();
    }

    public override Tensor forward(ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        var images = inputs.PixelValues ?? throw new ArgumentException("A vision model needs PixelValues.", nameof(inputs));
        long[] expected = [_config.NumChannels, _config.ImageSize, _config.ImageSize];
        if (images.dim() != 4 || !images.shape.AsSpan(1).SequenceEqual(expected))
            throw new ArgumentException($"PixelValues is [{string.Join(", ", images.shape)}]; this model takes [batch, {string.Join(", ", expected)}].", nameof(inputs));
        var patches = _patches.call(images).flatten(2).transpose(1, 2);
        var tokens = cat([_whole.expand(images.shape[0], -1, -1), patches], 1) + _positions;
        return tokens.Drop(_config.HiddenDropoutProb, training).MoveToOuterDisposeScope();
    }

    private sealed class PatchProjection : Module<Tensor, Tensor>
    {
        [ComponentName(Name = "projection")] private readonly Conv2d _projection;

        public PatchProjection(ViTConfig config, ScalarType dtype, Device? device) : base(nameof(PatchProjection))
        {
            _projection = Conv2d(config.NumChannels, config.HiddenSize, kernel_size: config.PatchSize, stride: config.PatchSize, device: device, dtype: dtype);
            RegisterComponents();
        }

        public override Tensor forward(Tensor images) => _projection.call(images);
    }
}
