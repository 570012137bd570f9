using AccelerateSharp.Models.Internal;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Gpt2;

/// <summary>Two layers with an activation between them.</summary>
internal sealed class Gpt2FeedForward : Module<Tensor, Tensor>
{
    private readonly string _activation;
    [ComponentName(Name = "c_fc")] private readonly Conv1D _inner;
    [ComponentName(Name = "c_proj")] private readonly Conv1D _output;

    public Gpt2FeedForward(Gpt2Config config, ScalarType dtype, Device? device) : base(nameof(Gpt2FeedForward))
    {
        _activation = config.ActivationFunction;
        var inner = config.NInner ?? 4 * config.NEmbd;
        _inner = new Conv1D(config.NEmbd, inner, dtype, device);
        _output = new Conv1D(inner, config.NEmbd, dtype, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var inner = _inner.call(input);
        using var activated = ActivationFunctions.Apply(_activation, inner);
        return _output.call(activated);
    }
}
