using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

#pragma warning disable IDE1006 // A module's fields give its parameters their names.

namespace AccelerateSharp.Tests.BigModel;

/// <summary>A transformer of twelve blocks, with a table for its embedding and, tied to it or not, its head.</summary>
internal sealed class BlockModel : Module<Tensor, Tensor>
{
    public const int Width = 16;
    public const int Words = 40;

    public readonly Embedding embed = Embedding(Words, Width);
    public readonly ModuleList<Block> layers;
    public readonly LayerNorm norm = LayerNorm(Width);
    public readonly Linear head = Linear(Width, Words, hasBias: false);

    public BlockModel(bool tied = false, int blocks = 12) : base(nameof(BlockModel))
    {
        layers = new ModuleList<Block>([.. Enumerable.Range(0, blocks).Select(_ => new Block())]);
        if (tied) head.weight = embed.weight!;
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        var hidden = embed.call(input);
        foreach (var layer in layers) hidden = layer.call(hidden);
        return head.call(norm.call(hidden));
    }

    /// <summary>A block with a parameter and a buffer of its own.</summary>
    internal sealed class Block : Module<Tensor, Tensor>
    {
        public readonly LayerNorm norm = LayerNorm(Width);
        public readonly Linear up = Linear(Width, 4 * Width);
        public readonly Linear down = Linear(4 * Width, Width);
        public readonly Parameter scale = Parameter(ones(Width));
        private readonly Tensor shift = full(Width, 0.5f);

        public Block() : base(nameof(Block)) => RegisterComponents();

        /// <summary>Called between the two linear layers, when one is set.</summary>
        public Action? Inside { get; set; }

        public override Tensor forward(Tensor input)
        {
            var hidden = up.call(norm.call(input)).tanh();
            Inside?.Invoke();
            return input + down.call(hidden) * scale + shift;
        }
    }
}
