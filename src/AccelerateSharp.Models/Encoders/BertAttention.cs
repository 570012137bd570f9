using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>Attention and its residual output.</summary>
internal sealed class BertAttention : Module<Tensor, Tensor?, Tensor>
{
    [ComponentName(Name = "self")] private readonly SelfAttention _self;
    [ComponentName(Name = "output")] private readonly ResidualOutput _output;

    public BertAttention(BertConfig config, ScalarType dtype, Device? device) : base(nameof(BertAttention))
    {
        _self = new SelfAttention(config, bias: true, dtype, device);
        _output = new ResidualOutput(config, config.HiddenSize, dtype, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, Tensor? mask) => _output.call(_self.call(hidden, mask), hidden);
}
