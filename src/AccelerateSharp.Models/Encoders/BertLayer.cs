using AccelerateSharp.Models.Internal;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>Attention, then two linear layers, each added to what came in and normalised after that.</summary>
/// <remarks>Called with the hidden state and a mask. Nothing that it makes lives on but what autograd keeps.</remarks>
internal abstract class PostNormLayer : Module<Tensor, Tensor?, Tensor>
{
    private readonly string _activation;
    [ComponentName(Name = "attention")] private protected readonly BertAttention _attention;
    [ComponentName(Name = "intermediate")] private protected readonly Projection _intermediate;
    [ComponentName(Name = "output")] private protected readonly ResidualOutput _output;

    private protected PostNormLayer(BertConfig config, ScalarType dtype, Device? device, string name) : base(name)
    {
        _activation = config.HiddenAct;
        _attention = new BertAttention(config, dtype, device);
        _intermediate = new Projection(config.HiddenSize, config.IntermediateSize, dtype, device);
        _output = new ResidualOutput(config, config.IntermediateSize, dtype, device);
        RegisterComponents();
    }

    public sealed override Tensor forward(Tensor hidden, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        var attended = _attention.call(hidden, mask);
        return _output.call(ActivationFunctions.Apply(_activation, _intermediate.call(attended)), attended).MoveToOuterDisposeScope();
    }
}

// The class names by which configurations of sharded training call the layers to wrap.
internal sealed class BertLayer(BertConfig config, ScalarType dtype, Device? device) : PostNormLayer(config, dtype, device, nameof(BertLayer));

internal sealed class RobertaLayer(BertConfig config, ScalarType dtype, Device? device) : PostNormLayer(config, dtype, device, nameof(RobertaLayer));
