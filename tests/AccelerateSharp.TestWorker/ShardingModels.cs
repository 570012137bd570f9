using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using Modules = TorchSharp.Modules;

namespace AccelerateSharp.TestWorker;

/// <summary>Small models made of units, beside those of the data-parallel table.</summary>
internal static class ShardingModels
{
    private const int Width = 16;

    /// <summary>The models of the equality table.</summary>
    public static IEnumerable<(string Name, Func<Module<Tensor, Tensor>> Build, Func<int, Tensor> Inputs)> All =>
    [
        ("blocks", static () => new Stack(4), static rows => randn(rows, Width)),
        ("frozen weights inside of units", static () => new Stack(3, adapters: true), static rows => randn(rows, Width)),
        ("a unit that runs twice", static () => new Stack(2, repeats: 2), static rows => randn(rows, Width)),
        ("multi-head attention as a unit", static () => new Attending(), static rows => randn(rows, 4, Width)),
        .. EqualityModels.All.Where(static model => model.Name is not "parameter also used outside of the forward"),
    ];

    /// <summary>Units: blocks, and in the other models whatever computes in native code, and linear layers.</summary>
    public static bool IsUnit(string name, Module module) =>
        module is Block or Modules.LSTM or Modules.MultiheadAttention or Modules.TransformerEncoderLayer or Modules.Conv2d || (module is Linear && !name.Contains("_layers", StringComparison.Ordinal));

    /// <summary>A residual block; with adapters, its weights are frozen and a small product beside them is trained.</summary>
    internal sealed class Block : Module<Tensor, Tensor>
    {
        private readonly LayerNorm _norm = LayerNorm(Width);
        private readonly Linear _layers_up = Linear(Width, 2 * Width);
        private readonly Linear _layers_down = Linear(2 * Width, Width);
        private readonly Linear? _layers_adapter;

        public Block(bool adapter)
            : base(nameof(Block))
        {
            if (adapter) _layers_adapter = Linear(Width, 2 * Width, hasBias: false);
            RegisterComponents();
            if (!adapter) return;
            foreach (var parameter in _layers_up.parameters().Concat(_layers_down.parameters()).Concat(_norm.parameters())) parameter.requires_grad = false;
        }

        public override Tensor forward(Tensor input)
        {
            var hidden = _layers_up.call(_norm.call(input));
            if (_layers_adapter is not null) hidden += _layers_adapter.call(input);
            return input + _layers_down.call(functional.gelu(hidden));
        }
    }

    /// <summary>Attention that computes in native code. Without bias: that of the keys has no gradient but rounding, which Adam makes steps of.</summary>
    private sealed class Attending : Module<Tensor, Tensor>
    {
        private readonly Modules.MultiheadAttention _attention = MultiheadAttention(Width, 2, bias: false);
        private readonly Linear _layers_head = Linear(Width, 1);

        public Attending()
            : base(nameof(Attending)) => RegisterComponents();

        public override Tensor forward(Tensor input)
        {
            input = input.transpose(0, 1);
            var (mixed, _) = _attention.call(input, input, input, null!, false, null!);
            return _layers_head.call((input + mixed).mean([0]));
        }
    }

    /// <summary>Blocks in a row, perhaps several times, and a head.</summary>
    internal sealed class Stack : Module<Tensor, Tensor>
    {
        private readonly ModuleList<Block> _blocks;
        private readonly Linear _layers_head = Linear(Width, 1);
        private readonly int _repeats;

        public Stack(int blocks, bool adapters = false, int repeats = 1)
            : base(nameof(Stack))
        {
            _repeats = repeats;
            _blocks = new ModuleList<Block>([.. Enumerable.Range(0, blocks).Select(_ => new Block(adapters))]);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            for (var i = 0; i < _repeats; i++)
                foreach (var block in _blocks) input = block.call(input);
            return _layers_head.call(input);
        }
    }
}
