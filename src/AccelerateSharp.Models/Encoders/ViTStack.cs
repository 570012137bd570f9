using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>The Vision Transformer below its head: what checkpoints call <c>vit</c>. Images in, [batch, patches + 1, hidden] out.</summary>
internal sealed class ViTStack : Module<ModelInputs, Tensor>
{
    [ComponentName(Name = "embeddings")] private readonly PatchEmbeddings _embeddings;
    [ComponentName(Name = "encoder")] private readonly LayerStack<ViTLayer> _encoder;
    [ComponentName(Name = "layernorm")] private readonly LayerNorm _norm;

    public ViTStack(ViTConfig config, ScalarType dtype, Device? device) : base(nameof(ViTStack))
    {
        _embeddings = new PatchEmbeddings(config, dtype, device);
        _encoder = new LayerStack<ViTLayer>(Enumerable.Range(0, config.NumHiddenLayers).Select(_ => new ViTLayer(config, dtype, device)));
        _norm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        RegisterComponents();
    }

    public override Tensor forward(ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        return _norm.call(_encoder.call(_embeddings.call(inputs), null)).MoveToOuterDisposeScope();
    }
}
