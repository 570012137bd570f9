using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>A linear layer called <c>dense</c>: what a checkpoint names <c>intermediate.dense</c>, <c>output.dense</c> or <c>pooler.dense</c>.</summary>
internal sealed class Projection : Module<Tensor, Tensor>
{
    [ComponentName(Name = "dense")] private readonly Linear _dense;

    public Projection(int inputs, int outputs, ScalarType dtype, Device? device) : base(nameof(Projection))
    {
        _dense = Linear(inputs, outputs, device: device, dtype: dtype);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input) => _dense.call(input);
}
