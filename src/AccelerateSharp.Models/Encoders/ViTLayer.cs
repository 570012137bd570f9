using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>Attention, then two linear layers, each on normalised input and added to it.</summary>
/// <remarks>Called with the hidden state and no mask: every patch sees every other.</remarks>
internal sealed class ViTLayer : Module<Tensor, Tensor?, Tensor>
{
    private readonly string _activation;
    private readonly double _dropout;
    [ComponentName(Name = "attention")] private readonly ViTAttention _attention;
    [ComponentName(Name = "intermediate")] private readonly Projection _intermediate;
    [ComponentName(Name = "output")] private readonly Projection _output;
    [ComponentName(Name = "layernorm_before")] private readonly LayerNorm _attentionNorm;
    [ComponentName(Name = "layernorm_after")] private readonly LayerNorm _feedForwardNorm;

    public ViTLayer(ViTConfig config, ScalarType dtype, Device? device) : base(nameof(ViTLayer))
    {
        (_activation, _dropout) = (config.HiddenAct, config.HiddenDropoutProb);
        _attention = new ViTAttention(config, dtype, device);
        _intermediate = new Projection(config.HiddenSize, config.IntermediateSize, dtype, device);
        _output = new Projection(config.IntermediateSize, config.HiddenSize, dtype, device);
        _attentionNorm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        _feedForwardNorm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        var attended = hidden + _attention.call(_attentionNorm.call(hidden), mask).Drop(_dropout, training);
        var inner = ActivationFunctions.Apply(_activation, _intermediate.call(_feedForwardNorm.call(attended)));
        return (attended + _output.call(inner).Drop(_dropout, training)).MoveToOuterDisposeScope();
    }

    private sealed class ViTAttention : Module<Tensor, Tensor?, Tensor>
    {
        [ComponentName(Name = "attention")] private readonly SelfAttention _self;
        [ComponentName(Name = "output")] private readonly Projection _output;

        public ViTAttention(ViTConfig config, ScalarType dtype, Device? device) : base(nameof(ViTAttention))
        {
            _self = new SelfAttention(config, config.QkvBias, dtype, device);
            _output = new Projection(config.HiddenSize, config.HiddenSize, dtype, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor hidden, Tensor? mask) => _output.call(_self.call(hidden, mask));
    }
}
