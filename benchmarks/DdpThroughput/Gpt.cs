using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Benchmarks.DdpThroughput;

/// <summary>The model of benchmarks/ddp_peer.py, operator for operator.</summary>
internal sealed class Gpt : Module<Tensor, Tensor>
{
    private readonly Embedding _tokens;
    private readonly Embedding _positions;
    private readonly ModuleList<Block> _blocks;
    private readonly LayerNorm _norm;
    private readonly Linear _head;

    public Gpt(int vocabulary, int context, int width, int layers, int heads) : base(nameof(Gpt))
    {
        _tokens = Embedding(vocabulary, width);
        _positions = Embedding(context, width);
        _blocks = new ModuleList<Block>([.. Enumerable.Range(0, layers).Select(_ => new Block(width, heads))]);
        _norm = LayerNorm(width);
        _head = Linear(width, vocabulary, hasBias: false);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = _tokens.call(input) + _positions.call(arange(input.shape[1]));
        foreach (var block in _blocks) x = block.call(x);
        return _head.call(_norm.call(x)).MoveToOuterDisposeScope();
    }
}

internal sealed class Block : Module<Tensor, Tensor>
{
    private readonly int _heads;
    private readonly LayerNorm _attentionNorm;
    private readonly Linear _attentionIn;
    private readonly Linear _attentionOut;
    private readonly LayerNorm _perceptronNorm;
    private readonly Linear _perceptronIn;
    private readonly Linear _perceptronOut;

    public Block(int width, int heads) : base(nameof(Block))
    {
        _heads = heads;
        _attentionNorm = LayerNorm(width);
        _attentionIn = Linear(width, 3 * width);
        _attentionOut = Linear(width, width);
        _perceptronNorm = LayerNorm(width);
        _perceptronIn = Linear(width, 4 * width);
        _perceptronOut = Linear(4 * width, width);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var (batch, time, width) = (input.shape[0], input.shape[1], input.shape[2]);
        var projected = _attentionIn.call(_attentionNorm.call(input));
        var heads = projected.view(batch, time, 3, _heads, width / _heads).permute(2, 0, 3, 1, 4).unbind(0);
        var mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_casual: true);
        var x = input + _attentionOut.call(mixed.transpose(1, 2).reshape(batch, time, width));
        return (x + _perceptronOut.call(functional.gelu(_perceptronIn.call(_perceptronNorm.call(x))))).MoveToOuterDisposeScope();
    }
}
