using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>RoBERTa's way from hidden states to the words they stand for, but for the last projection, which is the words' embedding. A checkpoint's <c>lm_head</c>.</summary>
internal sealed class RobertaMaskedTokenHead : Module<Tensor, Tensor>
{
    [ComponentName(Name = "dense")] private readonly Linear _dense;
    [ComponentName(Name = "layer_norm")] private readonly LayerNorm _norm;
    [ComponentName(Name = "decoder")] private readonly Linear? _decoder;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;
    private readonly Func<Parameter> _weight;

    public RobertaMaskedTokenHead(BertConfig config, Embedding words, ScalarType dtype, Device? device) : base(nameof(RobertaMaskedTokenHead))
    {
        _dense = Linear(config.HiddenSize, config.HiddenSize, device: device, dtype: dtype);
        _norm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
        // A tied weight is no parameter of its own: an optimizer would step it twice.
        if (!config.TieWordEmbeddings) _decoder = Linear(config.HiddenSize, config.VocabSize, hasBias: false, device, dtype);
        _weight = () => _decoder?.weight ?? words.weight!;
        _bias = Parameter(zeros(config.VocabSize, dtype, device));
        RegisterComponents();
    }

    public (Parameter Weight, Parameter Bias) Output => (_weight(), _bias);

    public override Tensor forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        return _norm.call(functional.gelu(_dense.call(hidden))).MoveToOuterDisposeScope();
    }
}
