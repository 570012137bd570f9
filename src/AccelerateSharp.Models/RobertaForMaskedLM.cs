using AccelerateSharp.Models.Encoders;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>RoBERTa with the head that guesses masked tokens; its last projection is the embedding of the words.</summary>
public sealed class RobertaForMaskedLM : MaskedLanguageModel
{
    [ComponentName(Name = "roberta")] private readonly BertStack _roberta;
    [ComponentName(Name = "lm_head")] private readonly RobertaMaskedTokenHead _head;

    /// <summary>Builds the model with new random weights.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public RobertaForMaskedLM(BertConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null) : base(config, "roberta", nameof(RobertaForMaskedLM))
    {
        _roberta = new BertStack(config, hasPooler: false, dtype, device);
        _head = new RobertaMaskedTokenHead(config, _roberta.Words, dtype, device);
        RegisterComponents();
        Initialize();
    }

    private protected override BertStack Encoder => _roberta;

    private protected override Module<Tensor, Tensor> Transform => _head;

    private protected override (Parameter Weight, Parameter Bias) Output => _head.Output;
}
