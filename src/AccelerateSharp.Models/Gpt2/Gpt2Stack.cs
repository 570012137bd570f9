using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Gpt2;

/// <summary>The model without its head: token and position embeddings, blocks, last norm.</summary>
internal sealed class Gpt2Stack : Module<ModelInputs, Tensor>
{
    private readonly Gpt2Config _config;
    [ComponentName(Name = "wte")] private readonly Embedding _tokens;
    [ComponentName(Name = "wpe")] private readonly Embedding _positions;
    [ComponentName(Name = "h")] private readonly ModuleList<GPT2Block> _blocks;
    [ComponentName(Name = "ln_f")] private readonly LayerNorm _norm;

    public Gpt2Stack(Gpt2Config config, ScalarType dtype, Device? device) : base(nameof(Gpt2Stack))
    {
        _config = config;
        _tokens = Embedding(config.VocabSize, config.NEmbd, device: device, dtype: dtype);
        _positions = Embedding(config.NPositions, config.NEmbd, device: device, dtype: dtype);
        _blocks = new ModuleList<GPT2Block>([.. Enumerable.Range(0, config.NLayer).Select(layer => new GPT2Block(config, layer, dtype, device))]);
        _norm = LayerNorm(config.NEmbd, config.LayerNormEpsilon, device: device, dtype: dtype);
        RegisterComponents();
    }

    public Embedding Tokens => _tokens;

    public override Tensor forward(ModelInputs inputs)
    {
        using var scope = NewDisposeScope();
        var tokens = inputs.InputIds ?? throw new ArgumentException("A language model needs InputIds.", nameof(inputs));
        var (past, length) = (inputs.Cache?.Length ?? 0, tokens.shape[1]);
        if (past + length > _config.NPositions)
            throw new ArgumentException($"GPT-2 has embeddings for {_config.NPositions} positions; {past + length} tokens are too many.", nameof(inputs));
        var positions = inputs.PositionIds ?? arange(past, past + length, device: tokens.device).unsqueeze(0);
        var hidden = _tokens.call(tokens) + _positions.call(positions);
        hidden = hidden.Drop(_config.EmbdPdrop, training);
        var mask = new CausalMasks(inputs.AttentionMask, past, length, tokens.device).For(window: null);
        foreach (var block in _blocks)
        {
            var former = hidden;
            hidden = block.call(hidden, mask, inputs.Cache);
            former.Dispose();
        }
        inputs.Cache?.Advance(length);
        return _norm.call(hidden).MoveToOuterDisposeScope();
    }
}
