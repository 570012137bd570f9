using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>BERT's end of each half of a layer: a projection, dropout, the sum with what came in, and its norm.</summary>
internal sealed class ResidualOutput : Module<Tensor, Tensor, Tensor>
{
    private readonly double _dropout;
    [ComponentName(Name = "dense")] private readonly Linear _dense;
    [ComponentName(Name = "LayerNorm")] private readonly LayerNorm _norm;

    public ResidualOutput(EncoderConfig config, int inputs, ScalarType dtype, Device? device) : base(nameof(ResidualOutput))
    {
        _dropout = config.HiddenDropoutProb;
        _dense = Linear(inputs, config.HiddenSize, device: device, dtype: dtype);
        _norm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        RegisterComponents();
    }

    public override Tensor forward(Tensor value, Tensor residual) => _norm.call(_dense.call(value).Drop(_dropout, training) + residual);
}
