using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

#pragma warning disable IDE1006 // A module's fields give its parameters their names.

/// <summary>Every TorchSharp module class that owns parameters, and the ways in which users combine them.</summary>
internal static class SlotCases
{
    /// <summary>A fresh model, and what to compute with it: any scalar in which every parameter takes part.</summary>
    internal sealed record Model(nn.Module Module, Func<Tensor> Loss);

    internal static readonly Dictionary<string, (Func<Model> Create, bool CanSwap)> All = new()
    {
        ["Linear"] = (() => Of(nn.Linear(6, 5), X(3, 6)), true),
        ["Linear without bias"] = (() => Of(nn.Linear(6, 5, hasBias: false), X(3, 6)), true),
        ["Bilinear"] = (() => { var m = nn.Bilinear(4, 5, 3); var (a, b) = (X(2, 4), X(2, 5)); return new(m, () => Sum(m.call(a, b))); }, true),
        ["Conv1d"] = (() => Of(nn.Conv1d(3, 4, 3), X(2, 3, 8)), true),
        ["Conv2d"] = (() => Of(nn.Conv2d(3, 4, 3), X(2, 3, 8, 8)), true),
        ["Conv3d"] = (() => Of(nn.Conv3d(2, 3, 2), X(2, 2, 4, 4, 4)), true),
        ["ConvTranspose1d"] = (() => Of(nn.ConvTranspose1d(3, 4, 3), X(2, 3, 8)), true),
        ["ConvTranspose2d"] = (() => Of(nn.ConvTranspose2d(3, 4, 3), X(2, 3, 6, 6)), true),
        ["ConvTranspose3d"] = (() => Of(nn.ConvTranspose3d(2, 3, 2), X(2, 2, 4, 4, 4)), true),
        ["BatchNorm1d"] = (() => Of(nn.BatchNorm1d(3), X(4, 3, 5)), true),
        ["BatchNorm2d"] = (() => Of(nn.BatchNorm2d(3), X(4, 3, 5, 5)), true),
        ["BatchNorm3d"] = (() => Of(nn.BatchNorm3d(3), X(4, 3, 2, 2, 2)), true),
        ["InstanceNorm1d"] = (() => Of(nn.InstanceNorm1d(3, affine: true), X(4, 3, 5)), true),
        ["InstanceNorm2d"] = (() => Of(nn.InstanceNorm2d(3, affine: true), X(4, 3, 5, 5)), true),
        ["InstanceNorm3d"] = (() => Of(nn.InstanceNorm3d(3, affine: true), X(4, 3, 2, 2, 2)), true),
        ["LayerNorm"] = (() => Of(nn.LayerNorm(6), X(3, 6)), true),
        ["GroupNorm"] = (() => Of(nn.GroupNorm(2, 4), X(3, 4, 5)), true),
        ["PReLU"] = (() => Of(nn.PReLU(3), X(2, 3, 4)), true),
        ["Embedding"] = (() => Of(nn.Embedding(10, 4), Ids(3, 5)), true),
        ["Embedding with padding"] = (() => Of(nn.Embedding(10, 4, padding_idx: 0), Ids(3, 5)), true),
        ["Embedding from weights"] = (() =>
        {
            var embedding = nn.Embedding_from_pretrained(X(10, 4), freeze: false);
            // The constructor leaves another, random parameter registered; the setter registers the one that computes.
            embedding.weight = embedding.weight!;
            return Of(embedding, Ids(3, 5));
        }, true),
        ["EmbeddingBag"] = (() => { var m = nn.EmbeddingBag(10, 4); var i = Ids(3, 5); return new(m, () => Sum(m.call(i, null, null))); }, true),
        ["RNN"] = (() => { var m = nn.RNN(3, 4, numLayers: 2); var x = X(5, 2, 3); return new(m, () => Sum(m.call(x).Item1)); }, false),
        ["LSTM"] = (() => { var m = nn.LSTM(3, 4, numLayers: 2, bidirectional: true); var x = X(5, 2, 3); return new(m, () => Sum(m.call(x).Item1)); }, false),
        ["GRU"] = (() => { var m = nn.GRU(3, 4); var x = X(5, 2, 3); return new(m, () => Sum(m.call(x).Item1)); }, false),
        ["RNNCell"] = (() => { var m = nn.RNNCell(3, 4); var x = X(2, 3); return new(m, () => Sum(m.call(x, zeros(2, 4)))); }, false),
        ["LSTMCell"] = (() => { var m = nn.LSTMCell(3, 4); var x = X(2, 3); return new(m, () => Sum(m.call(x, (zeros(2, 4), zeros(2, 4))).Item1)); }, false),
        ["GRUCell"] = (() => { var m = nn.GRUCell(3, 4); var x = X(2, 3); return new(m, () => Sum(m.call(x, zeros(2, 4)))); }, false),
        ["MultiheadAttention"] = (() => { var m = nn.MultiheadAttention(8, 2); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x, x, x).Item1)); }, false),
        ["TransformerEncoderLayer"] = (() => { var m = nn.TransformerEncoderLayer(8, 2, 16, 0.0); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x))); }, false),
        ["TransformerEncoder"] = (() => { var m = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x))); }, false),
        ["TransformerDecoderLayer"] = (() => { var m = nn.TransformerDecoderLayer(8, 2, 16, 0.0); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x, x))); }, false),
        ["TransformerDecoder"] = (() => { var m = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, 0.0), 2); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x, x))); }, false),
        ["Transformer"] = (() => { var m = nn.Transformer(8, 2, 1, 1, 16, 0.0); var x = X(3, 2, 8); return new(m, () => Sum(m.call(x, x))); }, false),
        ["Sequential"] = (() => Of(nn.Sequential(("in", nn.Linear(6, 5)), ("act", nn.PReLU(1)), ("out", nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4)))), X(3, 6)), true),
        ["User module"] = (() => Of(new UserModule(), X(3, 4)), true),
        ["Tied by the same object"] = (() => Of(new TiedObject(), X(3, 4)), true),
        ["Tied through an embedding"] = (() => Of(new TiedEmbedding(), Ids(2, 3)), true),
        ["Frozen first layer"] = (() =>
        {
            var first = nn.Linear(6, 5);
            foreach (var parameter in first.parameters()) parameter.requires_grad = false;
            return Of(nn.Sequential(first, nn.Linear(5, 4)), X(3, 6));
        }, true),
    };

    private static Tensor X(params long[] shape) => randn(shape).DetachFromDisposeScope();

    private static Tensor Ids(params long[] shape) => randint(10, shape, int64).DetachFromDisposeScope();

    /// <summary>Weighted, so that the gradient differs from element to element.</summary>
    private static Tensor Sum(Tensor output) => (output * arange(output.numel(), float32).reshape(output.shape).cos()).sum();

    private static Model Of(nn.Module<Tensor, Tensor> module, Tensor input) => new(module, () => Sum(module.call(input)));

    /// <summary>Raw parameters, lists and dictionaries of parameters and of modules, and a layer that runs twice.</summary>
    internal sealed class UserModule : nn.Module<Tensor, Tensor>
    {
        private readonly Parameter scale = nn.Parameter(randn(4));
        private readonly ParameterList list = nn.ParameterList(nn.Parameter(randn(4)), nn.Parameter(randn(4)));
        private readonly ParameterDict dict = nn.ParameterDict(("up", nn.Parameter(randn(4, 4))), ("down", nn.Parameter(randn(4, 4))));
        private readonly ModuleList<Linear> layers = nn.ModuleList(nn.Linear(4, 4), nn.Linear(4, 4));
        private readonly ModuleDict<Linear> named = nn.ModuleDict(("head", nn.Linear(4, 4)));
        private readonly Linear twice = nn.Linear(4, 4);

        public UserModule() : base(nameof(UserModule)) => RegisterComponents();

        public override Tensor forward(Tensor input)
        {
            var x = input * scale + list[0] - list[1];
            x = x.matmul(dict["up"]).tanh().matmul(dict["down"]);
            foreach (var layer in layers) x = layer.call(x).tanh();
            return named["head"].call(twice.call(twice.call(x).tanh()));
        }
    }

    internal sealed class TiedObject : nn.Module<Tensor, Tensor>
    {
        private readonly Linear encode = nn.Linear(4, 4);
        private readonly Linear decode = nn.Linear(4, 4);

        public TiedObject() : base(nameof(TiedObject))
        {
            decode.weight = encode.weight;
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => decode.call(encode.call(input).tanh());
    }

    internal sealed class TiedEmbedding : nn.Module<Tensor, Tensor>
    {
        private readonly Embedding tokens = nn.Embedding(10, 4);
        private readonly Linear head = nn.Linear(4, 10, hasBias: false);

        public TiedEmbedding() : base(nameof(TiedEmbedding))
        {
            head.weight = tokens.weight!;
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => head.call(tokens.call(input)) + nn.functional.linear(tokens.call(input).tanh(), tokens.weight!);
    }
}
