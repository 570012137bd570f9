using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>BERT's way from hidden states to the words they stand for, but for the last projection, which is the words' embedding. A checkpoint's <c>cls</c>.</summary>
internal sealed class BertMaskedTokenHead : Module<Tensor, Tensor>
{
    [ComponentName(Name = "predictions")] private readonly Predictions _predictions;

    public BertMaskedTokenHead(BertConfig config, Embedding words, ScalarType dtype, Device? device) : base(nameof(BertMaskedTokenHead))
    {
        _predictions = new Predictions(config, words, dtype, device);
        RegisterComponents();
    }

    public (Parameter Weight, Parameter Bias) Output => _predictions.Output;

    public override Tensor forward(Tensor hidden) => _predictions.call(hidden);

    private sealed class Predictions : Module<Tensor, Tensor>
    {
        [ComponentName(Name = "transform")] private readonly Transform _transform;
        [ComponentName(Name = "decoder")] private readonly Linear? _decoder;
        [ComponentName(Name = "bias")] private readonly Parameter _bias;
        private readonly Func<Parameter> _weight;

        public Predictions(BertConfig config, Embedding words, ScalarType dtype, Device? device) : base(nameof(Predictions))
        {
            _transform = new Transform(config, dtype, device);
            // A tied weight is no parameter of its own: an optimizer would step it twice.
            if (!config.TieWordEmbeddings) _decoder = Linear(config.HiddenSize, config.VocabSize, hasBias: false, device, dtype);
            _weight = () => _decoder?.weight ?? words.weight!;
            _bias = Parameter(zeros(config.VocabSize, dtype, device));
            RegisterComponents();
        }

        public (Parameter, Parameter) Output => (_weight(), _bias);

        public override Tensor forward(Tensor hidden) => _transform.call(hidden);
    }

    private sealed class Transform : Module<Tensor, Tensor>
    {
        private readonly string _activation;
        [ComponentName(Name = "dense")] private readonly Linear _dense;
        [ComponentName(Name = "LayerNorm")] private readonly LayerNorm _norm;

        public Transform(BertConfig config, ScalarType dtype, Device? device) : base(nameof(Transform))
        {
            _activation = config.HiddenAct;
            _dense = Linear(config.HiddenSize, config.HiddenSize, device: device, dtype: dtype);
            _norm = LayerNorm(config.HiddenSize, config.LayerNormEps, device: device, dtype: dtype);
            RegisterComponents();
        }

        public override Tensor forward(Tensor hidden)
        {
            using var scope = NewDisposeScope();
            return _norm.call(ActivationFunctions.Apply(_activation, _dense.call(hidden))).MoveToOuterDisposeScope();
        }
    }
}
