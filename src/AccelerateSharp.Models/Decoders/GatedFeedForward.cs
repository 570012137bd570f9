using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Decoders;

/// <summary>SwiGLU: <c>down(silu(gate(x)) * up(x))</c>.</summary>
internal sealed class GatedFeedForward : Module<Tensor, Tensor>
{
    [ComponentName(Name = "gate_proj")] private readonly Linear _gate;
    [ComponentName(Name = "up_proj")] private readonly Linear _up;
    [ComponentName(Name = "down_proj")] private readonly Linear _down;

    public GatedFeedForward(LlamaConfig config, ScalarType dtype, Device? device) : base(nameof(GatedFeedForward))
    {
        var (hidden, inner) = (config.HiddenSize, config.IntermediateSize);
        _gate = Linear(hidden, inner, config.MlpBias, device, dtype);
        _up = Linear(hidden, inner, config.MlpBias, device, dtype);
        _down = Linear(inner, hidden, config.MlpBias, device, dtype);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var gate = _gate.call(input);
        using var up = _up.call(input);
        using var gated = SwiGlu.Apply(gate, up);
        return _down.call(gated);
    }
}
