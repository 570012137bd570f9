using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.TestWorker;

/// <summary>Small models, each with something that a gradient reduction can get wrong.</summary>
internal static class EqualityModels
{
    private const int Vocabulary = 13;
    private const int Length = 6;
    private const int Width = 8;

    /// <summary>Name, model and a function that gives the inputs of a global batch.</summary>
    public static IEnumerable<(string Name, Func<Module<Tensor, Tensor>> Build, Func<int, Tensor> Inputs)> All =>
    [
        ("mlp", static () => Sequential(Linear(Width, 32), ReLU(), Linear(32, 32), Tanh(), Linear(32, 1)), Floats),
        ("tied weights, a module that runs twice", static () => new Tied(), Tokens),
        ("embedding, LSTM, transformer encoder", static () => new Native(), Tokens),
        ("a checkpointed function and a checkpointed layer", static () => new Recomputed(), Tokens),
        ("frozen and unused parameters", static () => new Partial(), Floats),
        ("convolution with batch norm in evaluation", static () => new Convolution(), Images),
        ("parameter also used outside of the forward", static () => new Regularised(), Floats),
    ];

    private static Tensor Floats(int rows) => randn(rows, Width);

    private static Tensor Tokens(int rows) => randint(0, Vocabulary, [rows, Length], ScalarType.Int64);

    private static Tensor Images(int rows) => randn(rows, 3, 8, 8);

    /// <summary>An embedding whose matrix is also the output projection, and one block that runs twice.</summary>
    private sealed class Tied : Module<Tensor, Tensor>
    {
        private readonly Embedding _embedding = Embedding(Vocabulary, Width);
        private readonly Linear _block = Linear(Width, Width);
        private readonly Linear _head = Linear(Width, Vocabulary, hasBias: false);

        public Tied()
            : base(nameof(Tied))
        {
            RegisterComponents();
            _head.weight = _embedding.weight!;
        }

        public override Tensor forward(Tensor tokens)
        {
            var hidden = _embedding.call(tokens);
            hidden = _block.call(functional.gelu(_block.call(hidden)));
            return _head.call(hidden).mean([1, 2], keepdim: false).unsqueeze(1);
        }
    }

    /// <summary>Modules that compute in native code.</summary>
    private sealed class Native : Module<Tensor, Tensor>
    {
        private readonly Embedding _embedding = Embedding(Vocabulary, Width);
        private readonly LSTM _lstm = LSTM(Width, Width, batchFirst: true);
        private readonly TransformerEncoder _encoder = TransformerEncoder(TransformerEncoderLayer(Width, 2, 16, dropout: 0), 1);
        private readonly Linear _head = Linear(Width, 1);

        public Native()
            : base(nameof(Native)) => RegisterComponents();

        public override Tensor forward(Tensor tokens)
        {
            var (hidden, _, _) = _lstm.call(_embedding.call(tokens));
            return _head.call(_encoder.call(hidden.transpose(0, 1), null, null).mean([0]));
        }
    }

    /// <summary>Activations that backward computes again: of a function, with modules and an LSTM inside, and of a layer.</summary>
    private sealed class Recomputed : Module<Tensor, Tensor>
    {
        private readonly Embedding _embedding = Embedding(Vocabulary, Width);
        private readonly Linear _up = Linear(Width, 2 * Width);
        private readonly Linear _down = Linear(2 * Width, Width);
        private readonly LSTM _lstm = LSTM(Width, Width, batchFirst: true);
        private readonly Linear _head = Linear(Width, 1);

        public Recomputed()
            : base(nameof(Recomputed))
        {
            RegisterComponents();
            ActivationCheckpointing.Apply(this, (name, _) => name == nameof(_head));
        }

        public override Tensor forward(Tensor tokens)
        {
            var hidden = ActivationCheckpointing.Checkpoint(ids => _embedding.call(ids), tokens);
            hidden = ActivationCheckpointing.Checkpoint((input, scale) => input + (_lstm.call(_down.call(functional.gelu(_up.call(input)))).Item1 * scale), hidden, 0.5);
            return _head.call(hidden.mean([1]));
        }
    }

    /// <summary>A frozen layer, and a layer that no forward reaches.</summary>
    private sealed class Partial : Module<Tensor, Tensor>
    {
        private readonly Linear _frozen = Linear(Width, Width);
        private readonly Linear _unused = Linear(Width, Width);
        private readonly Linear _head = Linear(Width, 1);

        public Partial()
            : base(nameof(Partial))
        {
            RegisterComponents();
            foreach (var parameter in _frozen.parameters()) parameter.requires_grad = false;
        }

        public override Tensor forward(Tensor input) => _head.call(functional.relu(_frozen.call(input)));
    }

    private sealed class Convolution : Module<Tensor, Tensor>
    {
        private readonly Conv2d _conv = Conv2d(3, 4, 3, padding: 1);
        private readonly BatchNorm2d _norm = BatchNorm2d(4);
        private readonly Linear _head = Linear(4 * 8 * 8, 1);

        public Convolution()
            : base(nameof(Convolution))
        {
            RegisterComponents();
            _norm.eval();
        }

        public override Tensor forward(Tensor input) => _head.call(functional.relu(_norm.call(_conv.call(input))).flatten(1));
    }

    /// <summary>The loss adds the weights' squares by itself, past the forward.</summary>
    internal sealed class Regularised : Module<Tensor, Tensor>
    {
        private readonly Linear _first = Linear(Width, Width);
        private readonly Linear _second = Linear(Width, 1);

        public Regularised()
            : base(nameof(Regularised)) => RegisterComponents();

        public Tensor Penalty() => _second.weight!.pow(2).sum() * 0.01;

        public override Tensor forward(Tensor input) => _second.call(functional.tanh(_first.call(input)));
    }
}
