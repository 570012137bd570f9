using AccelerateSharp.Models.Gpt2;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>GPT-2 with its language-modelling head, which is the embedding matrix.</summary>
public sealed class GPT2LMHeadModel : CausalLanguageModel
{
    private readonly Gpt2Config _config;
    [ComponentName(Name = "transformer")] private readonly Gpt2Stack _transformer;
    [ComponentName(Name = "lm_head")] private readonly Linear _head;

    /// <summary>Builds the model with new random weights.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="dtype">The dtype of the weights.</param>
    /// <param name="device">Where they are; by default on the CPU.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public GPT2LMHeadModel(Gpt2Config config, ScalarType dtype = ScalarType.Float32, Device? device = null)
        : base(config ?? throw new ArgumentNullException(nameof(config)), nameof(GPT2LMHeadModel))
    {
        config.Check();
        _config = config;
        _transformer = new Gpt2Stack(config, dtype, device);
        _head = Linear(config.NEmbd, config.VocabSize, hasBias: false, device, dtype);
        RegisterComponents();
        if (config.TieWordEmbeddings) _head.weight = _transformer.Tokens.weight!;
        Initialize();
    }

    /// <inheritdoc/>
    public override Module<ModelInputs, Tensor> Model => _transformer;

    /// <inheritdoc/>
    public override Linear Head => _head;

    /// <inheritdoc/>
    public override IReadOnlyList<string> LayerClassNames => [nameof(GPT2Block)];

    internal override long? MaxPositions => _config.NPositions;

    private protected override string BasePrefix => "transformer";

    // Older checkpoints hold the causal mask.
    internal override bool IsDerived(string name) => name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal);

    internal override void Initialize(string name, Tensor parameter)
    {
        base.Initialize(name, parameter);
        // What adds to the residual stream starts smaller, as in the paper.
        if (name.EndsWith("c_proj.weight", StringComparison.Ordinal)) init.normal_(parameter, 0, Config.InitializerRange / Math.Sqrt(2 * _config.NLayer));
    }
}
