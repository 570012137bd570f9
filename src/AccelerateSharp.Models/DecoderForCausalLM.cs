using AccelerateSharp.Models.Decoders;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>Llama and those built like it, with their language-modelling head.</summary>
public abstract class DecoderForCausalLM : CausalLanguageModel
{
    [ComponentName(Name = "model")] private protected readonly DecoderStack _model;
    [ComponentName(Name = "lm_head")] private protected readonly Linear _head;

    private protected DecoderForCausalLM(LlamaConfig config, ScalarType dtype, Device? device, string modelType, string name)
        : base(config ?? throw new ArgumentNullException(nameof(config)), name)
    {
        if (config.ModelType != modelType) throw new ArgumentException($"{name} needs a configuration of the type '{modelType}', not '{config.ModelType}'.", nameof(config));
        config.Check();
        _model = new DecoderStack(config, dtype, device);
        _head = Linear(config.HiddenSize, config.VocabSize, hasBias: false, device, dtype);
        RegisterComponents();
        if (config.TieWordEmbeddings) _head.weight = _model.Tokens.weight!;
        Initialize();
    }

    /// <inheritdoc/>
    public override Module<ModelInputs, Tensor> Model => _model;

    /// <inheritdoc/>
    public override Linear Head => _head;

    private protected override string BasePrefix => "model";
}
