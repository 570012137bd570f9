using AccelerateSharp.BigModel;
using AccelerateSharp.Internal.Interop;
using CsCheck;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

#pragma warning disable IDE1006 // A module's fields give its parameters their names.

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Models whose weights are spread over the host's memory and the disk, and come to where they are needed.</summary>
public sealed class DispatchTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    public static TheoryData<string> Maps => new(_maps.Keys);

    private static readonly Dictionary<string, DeviceMap> _maps = new()
    {
        ["all cpu"] = DeviceMap.All("cpu"),
        ["all disk"] = DeviceMap.All("disk"),
        ["half of the blocks on disk"] = Blocks(i => i < 6 ? "cpu" : "disk"),
        ["every second block on disk"] = Blocks(i => i % 2 == 0 ? "cpu" : "disk"),
        ["blocks on disk, ends on cpu"] = new() { ["embed"] = "cpu", ["layers"] = "disk", ["norm"] = "cpu", ["head"] = "cpu" },
        ["ends on disk, blocks on cpu"] = new() { ["embed"] = "disk", ["layers"] = "cpu", ["norm"] = "disk", ["head"] = "disk" },
        ["within blocks"] = new(Blocks(_ => "cpu")) { ["layers.3.up"] = "disk", ["layers.5.scale"] = "disk", ["layers.7.down.weight"] = "disk" },
    };

    [Theory]
    [MemberData(nameof(Maps))]
    public void The_same_logits_bit_by_bit_for_every_map(string name)
    {
        foreach (var tied in new[] { false, true })
        {
            var (model, expected, tokens) = Reference(tied);
            BigModeling.DispatchModel(model, _maps[name], offloadFolder: Path.Combine(_folder, $"{tied}"), forceHooks: true);
            using var noGrad = no_grad();
            for (var pass = 0; pass < 3; pass++) AssertSame(expected, model.call(tokens));
        }
    }

    [Fact]
    public void Random_maps_too()
    {
        var (whole, expected, tokens) = Reference(tied: true);
        var round = 0;
        Gen.Select(Gen.Bool.Array[15], Gen.Bool).Sample((onDisk, buffers) =>
        {
            using var scope = NewDisposeScope();
            var model = new BlockModel(tied: true);
            model.load_state_dict(whole.state_dict());
            model.eval();
            var map = Blocks(i => onDisk[i] ? "disk" : "cpu");
            (map["embed"], map["norm"], map["head"]) = (onDisk[12] ? "disk" : "cpu", onDisk[13] ? "disk" : "cpu", onDisk[14] ? "disk" : "cpu");
            using var noGrad = no_grad();
            BigModeling.DispatchModel(model, map, offloadFolder: Path.Combine(_folder, $"{round++}"), offloadBuffers: buffers, forceHooks: true);
            for (var pass = 0; pass < 2; pass++) AssertSame(expected, model.call(tokens));
        }, iter: 25, threads: 1);
    }

    [Fact]
    public void Weights_are_away_between_calls_and_back_when_hooks_are_removed()
    {
        var (model, expected, tokens) = Reference();
        BigModeling.CpuOffload(model, CPU);
        Assert.All(model.parameters(), parameter => Assert.True(parameter.is_meta && parameter.requires_grad));
        Assert.True(model.embed.weight!.is_meta);
        Assert.False(model.named_buffers().First().buffer.is_meta);
        Assert.True(ModelHooks.HasOffloadedParams(model) && ModelHooks.HasOffloadedParams(model.layers[3]));
        Assert.Equal("(whole model): cpu", BigModeling.DeviceMapOf(model)!.ToString());
        using (no_grad()) AssertSame(expected, model.call(tokens));
        Assert.All(model.parameters(), parameter => Assert.True(parameter.is_meta));

        ModelHooks.RemoveHookFromModule(model, recurse: true);
        Assert.All(model.parameters(), parameter => Assert.False(parameter.is_meta));
        Assert.Null(BigModeling.DeviceMapOf(model));
        Assert.False(ModelHooks.HasOffloadedParams(model));
        AssertSame(expected, model.call(tokens));
        model.call(tokens).sum().backward();
        Assert.NotNull(model.layers[0].up.weight.grad);
    }

    [Fact]
    public void The_next_block_is_read_while_one_computes_into_two_pieces_of_memory()
    {
        var (model, expected, tokens) = Reference();
        var largest = model.layers.Select(layer => layer.parameters().Sum(Bytes)).Max();
        var weights = model.parameters().Sum(Bytes);
        BigModeling.DiskOffload(model, _folder, CPU);
        var engine = OffloadEngine.HookOf(model.layers[0])!.Engine;
        Assert.Equal(["embed", .. Enumerable.Range(0, 12).Select(i => $"layers.{i}"), "norm", "head"], engine.Units.Select(unit => unit.Name));

        var present = new List<long>();
        var ahead = new List<bool>();
        foreach (var (layer, i) in model.layers.Select((layer, i) => (layer, i)))
        {
            layer.Inside = () =>
            {
                present.Add(model.parameters().Where(parameter => !parameter.is_meta).GroupBy(TensorStorage.Address).Sum(group => TensorStorage.ByteCount(group.First())));
                ahead.Add(engine.IsComing(i == 11 ? model.norm : model.layers[i + 1]));
            };
        }
        using var noGrad = no_grad();
        for (var pass = 0; pass < 2; pass++) AssertSame(expected, model.call(tokens));
        Assert.All(ahead, Assert.True);
        // Parameters stand in memory of one block, and another one is being filled; each tensor begins at a multiple of 256 bytes.
        var slack = 256L * 8;
        Assert.All(present, bytes => Assert.InRange(bytes, largest, largest + slack));
        Assert.InRange(engine.PoolBytes, 2 * largest, 2 * (largest + slack));
        Assert.True(weights > 5 * engine.PoolBytes);

        static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();
    }

    [Fact]
    public void Another_order_than_the_last_time_changes_nothing()
    {
        var modules = Enumerable.Range(0, 5).Select(_ => (Module<Tensor, Tensor>)Linear(8, 8)).ToArray();
        var model = new Chosen(modules);
        var input = randn(2, 8);
        int[][] orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 0, 3, 3], [2], [], [1, 4, 1, 4, 0], [0, 1, 2, 3, 4]];
        var expected = orders.Select(order => model.With(order).call(input)).ToArray();
        BigModeling.DiskOffload(model, _folder, CPU);
        using var noGrad = no_grad();
        for (var i = 0; i < orders.Length; i++) AssertSame(expected[i], model.With(orders[i]).call(input));
    }

    [Fact]
    public void An_exception_in_forward_leaves_everything_away_and_removable()
    {
        foreach (var caughtInside in new[] { false, true })
        {
            var (model, expected, tokens) = Reference();
            BigModeling.DiskOffload(model, Path.Combine(_folder, $"{caughtInside}"), CPU);
            using (no_grad())
            {
                AssertSame(expected, model.call(tokens));
                model.layers[5].Inside = caughtInside ? Caught : () => throw new TimeZoneNotFoundException();
                if (caughtInside) AssertSame(expected, model.call(tokens));
                else Assert.Throws<TimeZoneNotFoundException>(() => model.call(tokens));
                Assert.All(model.parameters(), parameter => Assert.True(parameter.is_meta));
                model.layers[5].Inside = null;
                AssertSame(expected, model.call(tokens));
                model.layers[2].Inside = () => throw new TimeZoneNotFoundException();
                Assert.Throws<TimeZoneNotFoundException>(() => model.layers[2].call(randn(1, BlockModel.Width)));
            }
            model.layers[2].Inside = null;
            ModelHooks.RemoveHookFromModule(model, recurse: true);
            AssertSame(expected, model.call(tokens));
        }

        static void Caught()
        {
            try
            {
                throw new TimeZoneNotFoundException();
            }
            catch (TimeZoneNotFoundException)
            {
            }
        }
    }

    [Fact]
    public void With_gradients_enabled_they_flow_through_offloaded_blocks()
    {
        var (model, expected, tokens) = Reference();
        var input = randn(2, BlockModel.Width).requires_grad_();
        Through(model, input).sum().backward();
        var gradient = input.grad!.clone();
        input.grad!.zero_();
        List<string> said = [];
        using (Notices.Listen(said.Add))
        {
            BigModeling.DiskOffload(model, _folder, CPU);
            var output = Through(model, input);
            Assert.True(output.requires_grad);
            output.sum().backward();
            AssertSame(expected, model.call(tokens));
        }
        AssertSame(gradient, input.grad!);
        Assert.Contains("no_grad", Assert.Single(said));

        static Tensor Through(BlockModel model, Tensor hidden) => model.layers.Aggregate(hidden, (current, layer) => layer.call(current));
    }

    [Fact]
    public void Every_kind_of_module_computes_with_weights_that_come_and_go()
    {
        var (x, sequence, image, ids) = (randn(3, 6), randn(5, 2, 6), randn(2, 3, 8, 8), randint(9, [2, 4]));
        (Module Module, Func<Tensor> Call)[] kinds =
        [
            Kind(Linear(6, 4), x), Kind(LayerNorm(6), x), Kind(BatchNorm1d(6), x), Kind(Conv2d(3, 4, 3), image), Kind(ConvTranspose2d(3, 4, 3), image), Kind(GroupNorm(3, 3), image),
            Kind(Embedding(9, 4), ids), Kind(PReLU(6), x), Kind(TransformerEncoderLayer(6, 2, 8, 0.0), sequence),
            From(LSTM(6, 3, numLayers: 2), lstm => lstm.call(sequence).Item1), From(GRU(6, 3), gru => gru.call(sequence).Item1),
            From(MultiheadAttention(6, 2), attention => attention.call(sequence, sequence, sequence).Item1),
            From(EmbeddingBag(9, 4), bag => bag.call(ids, null, null)),
        ];
        foreach (var (module, call) in kinds)
        {
            module.eval();
            using var noGrad = no_grad();
            var expected = call();
            foreach (var disk in new[] { true, false })
            {
                if (disk) BigModeling.DiskOffload(module, Path.Combine(_folder, module.GetName()), CPU, offloadBuffers: true);
                else BigModeling.CpuOffload(module, CPU, offloadBuffers: true);
                for (var pass = 0; pass < 2; pass++) AssertSame(expected, call());
                Assert.All(ModelTensors.Of(module), tensor => Assert.True(tensor.IsEmpty, tensor.Name));
                ModelHooks.RemoveHookFromModule(module, recurse: true);
                AssertSame(expected, call());
            }
        }

        static (Module, Func<Tensor>) Kind(Module<Tensor, Tensor> module, Tensor input) => (module, () => module.call(input));

        static (Module, Func<Tensor>) From<T>(T module, Func<T, Tensor> call) where T : Module => (module, () => call(module));
    }

    [Fact]
    public void A_result_that_is_a_piece_of_the_weights_lasts()
    {
        var model = new Positions();
        using var noGrad = no_grad();
        var expected = model.call(zeros(1)).clone();
        BigModeling.DiskOffload(model, _folder, CPU);
        AssertSame(expected, model.call(zeros(1)));
        AssertSame(expected, model.call(zeros(1)));
    }

    [Fact]
    public void Weights_used_without_a_call_are_there_when_their_class_is_preloaded()
    {
        var model = new Peeking();
        using var noGrad = no_grad();
        var (input, expected) = (randn(2, 4), default(Tensor));
        expected = model.call(input);
        BigModeling.DiskOffload(model, _folder, CPU, preloadModuleClasses: [nameof(Peeking)]);
        AssertSame(expected, model.call(input));
        ModelHooks.RemoveHookFromModule(model, recurse: true);
        BigModeling.DiskOffload(model, _folder, CPU);
        Assert.ThrowsAny<Exception>(() => model.call(input));
    }

    [Fact]
    public void Mistakes_are_told_before_anything_is_changed()
    {
        var model = new BlockModel();
        Assert.Contains("norm.weight", Assert.Throws<ArgumentException>(() => BigModeling.DispatchModel(model, new DeviceMap { ["embed"] = "cpu", ["layers"] = "cpu", ["head"] = "cpu" })).Message);
        Assert.Contains("offloadFolder", Assert.Throws<ArgumentException>(() => BigModeling.DispatchModel(model, DeviceMap.All("disk"))).Message);
        var empty = BigModeling.InitEmptyWeights(() => new BlockModel());
        Assert.Contains("embed.weight", Assert.Throws<InvalidOperationException>(() => BigModeling.DispatchModel(empty, DeviceMap.All("cpu"))).Message);
        Assert.Contains("have no values", Assert.Throws<InvalidOperationException>(() => BigModeling.DiskOffload(empty, _folder)).Message);

        BigModeling.DiskOffload(model, _folder, CPU);
        Assert.Contains("already", Assert.Throws<InvalidOperationException>(() => BigModeling.CpuOffload(model, CPU)).Message);
        Assert.Contains("already", Assert.Throws<InvalidOperationException>(() => BigModeling.DispatchModel(model, DeviceMap.All("cpu"), forceHooks: true)).Message);
    }

    [Fact]
    public void An_offload_folder_that_is_stale_or_of_another_model_is_told()
    {
        var model = new BlockModel();
        BigModeling.OffloadStateDict(_folder, model.state_dict());
        File.WriteAllBytes(Path.Combine(_folder, "norm.weight.dat"), new byte[12]);
        Assert.Contains("12 bytes", Throws(BigModeling.InitEmptyWeights(() => new BlockModel())));
        File.Delete(Path.Combine(_folder, "norm.weight.dat"));
        Assert.Contains("not there", Throws(BigModeling.InitEmptyWeights(() => new BlockModel())));

        BigModeling.OffloadStateDict(_folder, new Dictionary<string, Tensor> { ["norm.weight"] = ones(3) });
        Assert.Contains("another model", Throws(BigModeling.InitEmptyWeights(() => new BlockModel())));
        // A model that has values writes them, whatever is there.
        using var noGrad = no_grad();
        var (input, expected) = (randint(BlockModel.Words, [1, 3]), default(Tensor));
        expected = model.call(input);
        AssertSame(expected, BigModeling.DiskOffload(model, _folder, CPU).call(input));

        string Throws(BlockModel empty) => Assert.Throws<IOException>(() => BigModeling.DiskOffload(empty, _folder, CPU)).Message;
    }

    [Fact]
    public void The_state_of_an_offloaded_model_can_be_taken_and_saved()
    {
        var (model, _, _) = Reference(tied: true);
        var before = model.state_dict().ToDictionary(entry => entry.Key, entry => entry.Value.clone());
        BigModeling.DispatchModel(model, Blocks(i => i < 6 ? "cpu" : "disk"), offloadFolder: _folder);
        var state = BigModeling.GetStateDictOffloadedModel(model);
        Assert.Equal(before.Keys.Order(), state.Keys.Order());
        foreach (var (name, value) in before) AssertSame(value, state[name]);
        Assert.Same(state["embed.weight"], state["head.weight"]);
    }

    private (BlockModel Model, Tensor Expected, Tensor Tokens) Reference(bool tied = false)
    {
        var model = new BlockModel(tied);
        model.eval();
        var tokens = arange(0, 36, dtype: ScalarType.Int64).reshape(2, 18);
        using var noGrad = no_grad();
        return (model, model.call(tokens), tokens);
    }

    private static DeviceMap Blocks(Func<int, Placement> place)
    {
        var map = new DeviceMap { ["embed"] = "cpu", ["norm"] = "cpu", ["head"] = "cpu" };
        for (var i = 0; i < 12; i++) map[$"layers.{i}"] = place(i);
        return map;
    }

    private static void AssertSame(Tensor expected, Tensor actual) =>
        Assert.True(expected.shape.SequenceEqual(actual.shape) && expected.equal(actual).all().item<bool>(), $"differ by up to {(expected - actual).abs().max().item<float>()}");

    private sealed class Chosen : Module<Tensor, Tensor>
    {
        private readonly ModuleList<Module<Tensor, Tensor>> layers;
        private int[] _order = [];

        public Chosen(Module<Tensor, Tensor>[] modules) : base(nameof(Chosen))
        {
            layers = new ModuleList<Module<Tensor, Tensor>>(modules);
            RegisterComponents();
        }

        public Chosen With(int[] order)
        {
            _order = order;
            return this;
        }

        public override Tensor forward(Tensor input) => _order.Aggregate(input, (hidden, i) => layers[i].call(hidden).tanh());
    }

    private sealed class Positions : Module<Tensor, Tensor>
    {
        private readonly Rows rows = new();
        private readonly Rows others = new();

        public Positions() : base(nameof(Positions)) => RegisterComponents();

        public override Tensor forward(Tensor input)
        {
            var first = rows.call(input);
            var second = others.call(input);
            rows.call(input);
            return first * 2 + second;
        }

        private sealed class Rows : Module<Tensor, Tensor>
        {
            private readonly Parameter table = Parameter(randn(6, 4));

            public Rows() : base(nameof(Rows)) => RegisterComponents();

            public override Tensor forward(Tensor input) => table.narrow(0, 1, 3);
        }
    }

    private sealed class Peeking : Module<Tensor, Tensor>
    {
        private readonly Linear inner = Linear(4, 4);

        public Peeking() : base(nameof(Peeking)) => RegisterComponents();

        public override Tensor forward(Tensor input) => functional.linear(input, inner.weight, inner.bias);
    }
}
