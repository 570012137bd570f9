using AccelerateSharp.BigModel;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Where layers are placed, case by case as in the reference.</summary>
public sealed class DeviceMapTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly List<string> _said = [];
    private readonly IDisposable _listening;

    public DeviceMapTests() => _listening = Notices.Listen(_said.Add);

    public void Dispose()
    {
        _listening.Dispose();
        _scope.Dispose();
    }

    [Theory]
    [InlineData("0:200 1:200")]
    [InlineData("0:200 1:172 2:200")]
    public void Room_for_the_largest_layer_is_kept_on_the_first_GPU_alone(string memory) =>
        AssertMap("linear1:0 batchnorm:1 linear2:1", BigModeling.InferAutoDeviceMap(new ModelForTest(), Memory(memory)));

    [Fact]
    public void Tied_weights_count_once()
    {
        var model = new ModelForTest();
        model.linear2.weight = model.linear1.weight;
        // Of another shape than it computes with, but only sizes matter here.
        AssertMap(":0", BigModeling.InferAutoDeviceMap(model, Memory("0:200 1:200")));
    }

    [Fact]
    public void A_model_is_split_at_layers_or_at_the_classes_that_stay_whole()
    {
        var model = Sequential(new ModelForTest(), new ModelForTest(), new ModelForTest());
        AssertMap("0:0 1.linear1:0 1.batchnorm:0 1.linear2:1 2:1", BigModeling.InferAutoDeviceMap(model, Memory("0:500 1:500")));
        AssertMap("0:0 1:1 2:1", BigModeling.InferAutoDeviceMap(model, Memory("0:500 1:500"), [nameof(ModelForTest)]));
    }

    [Fact]
    public void Tied_layers_go_together()
    {
        var (layer1, layer2, layer3) = (new ModelForTest(), new ModelForTest(), new ModelForTest());
        layer3.linear2.weight = layer1.linear2.weight;
        var model = TestModels.Named(("layer1", layer1), ("layer2", layer2), ("layer3", layer3));
        AssertMap("layer1:0 layer3.linear2:0 layer2:1 layer3.linear1:1 layer3.batchnorm:1", BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:500")));

        layer2.linear2.weight = layer1.linear2.weight;
        AssertMap("layer1:0 layer2.linear2:0 layer3.linear2:0 layer2.linear1:1 layer2.batchnorm:1 layer3.linear1:1 layer3.batchnorm:1",
            BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:500")));

        layer2.linear1.weight = layer1.linear1.weight;
        AssertMap("layer1:0 layer2.linear1:0 layer2.linear2:0 layer3.linear2:0 layer2.batchnorm:1 layer3.linear1:1 layer3.batchnorm:1",
            BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:500")));
    }

    [Fact]
    public void A_layer_that_is_wholly_tied_to_another_goes_with_it()
    {
        Linear a = Linear(4, 4), b = Linear(6, 6), c = Linear(4, 4), d = Linear(6, 6);
        (c.weight, c.bias) = (a.weight, a.bias);
        var model = TestModels.Named(("linear1", a), ("linear2", b), ("linear3", c), ("linear4", d));
        AssertMap("linear1:0 linear2:1 linear3:0 linear4:1", BigModeling.InferAutoDeviceMap(model, Memory("0:250 1:400")));
    }

    [Fact]
    public void A_parameter_tied_into_a_module_whose_name_starts_like_its_own_is_not_inside_of_it()
    {
        var model = new NamesAlike();
        var map = BigModeling.InferAutoDeviceMap(model, Memory("0:4 cpu:96000"));
        Assert.All(map.Values, placement => Assert.Equal(Placement.Cpu, placement));
    }

    [Fact]
    public void Among_many_tied_layers_1_is_not_10()
    {
        var layers = Enumerable.Range(0, 15).Select(_ => Linear(10, 10)).ToList();
        foreach (var layer in layers.Skip(1)) layer.weight = layers[0].weight;
        var model = TestModels.Named([.. layers.Select((layer, i) => (i.ToString(), (Module<Tensor, Tensor>)layer))]);
        var sizes = ModuleSizes.Of(model);
        var ties = new TieLookup(TiedParameters.Find(model), sizes).Outside("0", Layer.TopLevel(model)[1..]);
        Assert.Equal(14 * 40, ties.Bytes);
        Assert.Equal(Enumerable.Range(1, 14).Select(i => i.ToString()).Order(StringComparer.Ordinal), ties.Layers.Select(layer => layer.Name));
        AssertMap(":0", BigModeling.InferAutoDeviceMap(model, Memory("0:1440 1:1000")));
    }

    [Fact]
    public void Buffers_of_offloaded_layers_that_no_GPU_has_room_for_are_told()
    {
        var model = WithBuffers();
        AssertMap("linear1:0 batchnorm:cpu linear2:cpu", BigModeling.InferAutoDeviceMap(model, Memory("0:400 cpu:1000000000")));
        Assert.Contains(_said, message => message.Contains("offloadBuffers"));
        _said.Clear();
        AssertMap("linear1:0 batchnorm:cpu linear2:cpu", BigModeling.InferAutoDeviceMap(model, Memory("0:400 cpu:1000000000"), offloadBuffers: true));
        Assert.Empty(_said);
    }

    [Fact]
    public void Buffers_of_offloaded_layers_may_fit_on_any_GPU()
    {
        var linear3 = Linear(4, 5);
        TestModels.AddBuffer(linear3, "test_buffer4", 10, 2);
        var with = WithBuffers();
        var model = TestModels.Named(("linear1", with.linear1), ("batchnorm", with.batchnorm), ("linear2", with.linear2), ("linear3", linear3));
        const string Expected = "linear1:0 batchnorm:1 linear2:cpu linear3:cpu";
        AssertMap(Expected, BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:400 cpu:1000000000")));
        Assert.Empty(_said);
        AssertMap(Expected, BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:200 cpu:1000000000")));
        Assert.Contains(_said, message => message.Contains("offloadBuffers"));
        _said.Clear();
        AssertMap(Expected, BigModeling.InferAutoDeviceMap(model, Memory("0:400 1:200 cpu:1000000000"), offloadBuffers: true));
        Assert.Empty(_said);
    }

    [Fact]
    public void A_device_too_small_for_the_next_layer_may_take_a_later_one()
    {
        var model = TestModels.Named(("module", TestModels.Named(("linear1", Linear(10, 4)), ("linear2", Linear(4, 4)), ("linear3", Linear(4, 8)))));
        Assert.DoesNotContain(Placement.Gpu(0), BigModeling.InferAutoDeviceMap(model, Memory("0:256")).Values);
        Assert.Contains(_said, message => message.Contains("insufficient memory"));
        _said.Clear();
        AssertMap("module.linear1:disk module.linear2:0 module.linear3:disk", BigModeling.InferAutoDeviceMap(model, Memory("0:256"), fallbackAllocation: true));
        Assert.Empty(_said);

        var large = TestModels.Named(("module", TestModels.Named(("linear1", Linear(10, 10)), ("linear2", Linear(10, 10)), ("linear3", Linear(10, 10)))));
        AssertMap(":disk", BigModeling.InferAutoDeviceMap(large, Memory("0:30"), fallbackAllocation: true));
        Assert.Contains(_said, message => message.Contains("insufficient memory"));
    }

    [Fact]
    public void A_fallback_takes_tied_layers_and_buffers_into_account()
    {
        Linear linear1 = Linear(10, 10), linear2 = Linear(10, 10);
        linear2.weight = linear1.weight;
        AssertMap(":0", BigModeling.InferAutoDeviceMap(TestModels.Named(("linear1", linear1), ("linear2", linear2)), Memory("0:600"), fallbackAllocation: true));

        var (first, norm, last) = (Linear(10, 10), BatchNorm1d(10), Linear(10, 10));
        TestModels.AddBuffer(first, "buffer1", 5);
        TestModels.AddBuffer(norm, "buffer2", 5);
        TestModels.AddBuffer(last, "buffer3", 5);
        var model = TestModels.Named(("linear1", first), ("batchnorm", norm), ("linear2", last));
        AssertMap("batchnorm:0 linear1:disk linear2:disk", BigModeling.InferAutoDeviceMap(model, Memory("0:678"), fallbackAllocation: true));
        Assert.Contains(_said, message => message.Contains("offloadBuffers"));
    }

    [Theory]
    [InlineData("0:1000 1:1000 cpu:1000", "0:0 1:1 2:1 3:cpu")]
    [InlineData("0:1500 cpu:5000", "0:0 1:0 2:cpu 3:cpu")]
    [InlineData("0:1320 cpu:880", "0:0 1:0 2:cpu 3:cpu")]
    [InlineData("cpu:1320", "0:cpu 1:cpu 2:disk 3:disk")]
    [InlineData("0:1760 1:440", ":0")]
    [InlineData("0:100 cpu:10000", ":cpu")]
    [InlineData("1:440 cpu:1320 0:880", "0:0 1:1 2:cpu 3:cpu")]
    [InlineData("", ":disk")]
    public void Four_equal_layers(string memory, string expected)
    {
        var model = Sequential(Linear(10, 10), Linear(10, 10), Linear(10, 10), Linear(10, 10));
        AssertMap(expected, BigModeling.InferAutoDeviceMap(model, Memory(memory)));
        var raw = BigModeling.InferAutoDeviceMap(model, Memory(memory), cleanResult: false);
        Assert.Equal(["0", "1", "2", "3"], raw.Keys.Order());
    }

    [Theory]
    [InlineData("0:200 1:200", false, "0:200 1:200")]
    [InlineData("0:200 2:200", false, "0:200 2:200")]
    [InlineData("0:300 1:300", false, "0:215 1:300")]
    [InlineData("0:300 1:500", false, "0:215 1:500")]
    [InlineData("0:300 cpu:1000", false, "0:300 cpu:1000")]
    [InlineData("0:0 1:300 2:300", false, "0:0 1:215 2:300")]
    [InlineData("0:0 cpu:100", false, "0:0 cpu:100")]
    [InlineData("0:300 1:300", true, "0:0 1:300")]
    [InlineData("0:1000 1:1000 2:1000", false, "0:175 1:175 2:1000")]
    [InlineData("0:1000 1:1000 2:1000", true, "0:0 1:215 2:1000")]
    public void Balanced_memory(string given, bool lowZero, string expected) =>
        Assert.Equal(Memory(expected), BigModeling.GetBalancedMemory(new ModelForTest(), Memory(given), lowZero: lowZero));

    [Fact]
    public void The_strategies_differ_in_what_GPU_0_gets()
    {
        var model = Sequential(Linear(10, 10), Linear(10, 10), Linear(10, 10), Linear(10, 10));
        AssertMap(":0", BigModeling.InferAutoDeviceMap(model, DeviceMapStrategy.Sequential, Memory("0:10000 1:10000")));
        AssertMap("0:0 1:0 2:1 3:1", BigModeling.InferAutoDeviceMap(model, DeviceMapStrategy.Auto, Memory("0:10000 1:10000")));
        AssertMap(":1", BigModeling.InferAutoDeviceMap(model, DeviceMapStrategy.BalancedLow0, Memory("0:10000 1:10000")));
    }

    [Fact]
    public void Sizes_count_every_tensor_once_under_all_prefixes()
    {
        var sizes = BigModeling.ComputeModuleSizes(new ModelForTest());
        Assert.Equal((236, 64, 48, 72, 8, 100),
            (sizes[""], sizes["linear1"], sizes["linear1.weight"], sizes["batchnorm"], sizes["batchnorm.num_batches_tracked"], sizes["linear2"]));
        // Integers keep their size; a wider dtype makes nothing larger.
        Assert.Equal((236 - 8) / 2 + 8, BigModeling.ComputeModuleSizes(new ModelForTest(), ScalarType.Float16)[""]);
        Assert.Equal(236, BigModeling.ComputeModuleSizes(new ModelForTest(), ScalarType.Float64)[""]);
        var special = new Dictionary<string, ScalarType> { ["linear1.weight"] = ScalarType.Float32 };
        Assert.Equal((236 - 8 - 48) / 2 + 8 + 48, BigModeling.ComputeModuleSizes(new ModelForTest(), ScalarType.Float16, special)[""]);
        Assert.Equal(40, BigModeling.ComputeModuleSizes(new ModelForTest(), buffersOnly: true)[""]);
        var (total, largest, names) = BigModeling.CalculateMaximumSizes(Sequential(new ModelForTest(), new ModelForTest()), [nameof(ModelForTest)]);
        Assert.Equal((472, 236), (total, largest));
        Assert.Equal(["0", "1"], names);
        Assert.Equal(100, BigModeling.CalculateMaximumSizes(new ModelForTest()).LargestLayer);
    }

    [Fact]
    public void Buffers_that_no_checkpoint_holds_take_memory_too()
    {
        var linear = Linear(2, 2);
        linear.register_buffer("table", zeros(100), persistent: false);
        Assert.Equal(400 + 24, BigModeling.ComputeModuleSizes(linear)[""]);
    }

    [Theory]
    [InlineData("a:0 b:0 c:0", ":0")]
    [InlineData("a.x:0 a.y:0 b.x:1 b.y:1 c:1", "a:0 b:1 c:1")]
    [InlineData("a.x:0 a.y:0 b.x.0:1 b.x.1:1 b.y.0:2 b.y.1:2 c:2", "a:0 b.x:1 b.y:2 c:2")]
    public void A_map_becomes_short(string given, string expected) => AssertMap(expected, BigModeling.CleanDeviceMap(Map(given)));

    [Fact]
    public void A_map_must_cover_the_model_and_may_not_know_more()
    {
        var model = new ModelForTest();
        var error = Assert.Throws<ArgumentException>(() => BigModeling.CheckDeviceMap(model, Map("linear1:0 batchnorm:1")));
        Assert.Contains("linear2.weight, linear2.bias", error.Message);
        BigModeling.CheckDeviceMap(model, DeviceMap.All(0));
        BigModeling.CheckDeviceMap(model, Map("linear1:0 batchnorm:1 linear2.weight:0 linear2.bias:disk"));
        Assert.Empty(_said);
        BigModeling.CheckDeviceMap(model, Map(":0 linear9:1"));
        Assert.Contains("linear9", Assert.Single(_said));
    }

    [Fact]
    public void The_longest_entry_decides_by_whole_names()
    {
        var map = Map("a:0 a.1:cpu a.10:disk");
        Assert.Equal(["0", "cpu", "disk", "0"], new[] { "a.2.weight", "a.1.weight", "a.10.weight", "a" }.Select(name => map.Find(name).ToString()));
        Assert.Null(map.Find("ab"));
    }

    [Fact]
    public void Tied_parameters_are_found_and_tied_again()
    {
        var model = new ModelForTest();
        Assert.Empty(BigModeling.FindTiedParameters(model));
        model.linear2.weight = model.linear1.weight;
        Assert.Equal([["linear1.weight", "linear2.weight"]], BigModeling.FindTiedParameters(model));

        Linear a = Linear(4, 4), b = Linear(4, 4), c = Linear(4, 4);
        (b.weight, c.bias) = (a.weight, a.bias);
        var nested = TestModels.Named(("linear1", a), ("inner", TestModels.Named(("linear2", b), ("linear3", c))));
        Assert.Equal([["inner.linear2.weight", "linear1.weight"], ["inner.linear3.bias", "linear1.bias"]], BigModeling.FindTiedParameters(nested));

        var apart = TestModels.Named(("linear1", Linear(4, 4)), ("linear2", BigModeling.InitEmptyWeights(() => Linear(4, 4))));
        BigModeling.RetieParameters(apart, [["linear1.weight", "linear2.weight"]]);
        Assert.Equal([["linear1.weight", "linear2.weight"]], BigModeling.FindTiedParameters(apart));
        Assert.DoesNotContain(apart.parameters(), parameter => parameter.dim() == 2 && parameter.is_meta);
        Assert.Contains("nothing.weight", Assert.Throws<ArgumentException>(() => BigModeling.RetieParameters(nested, [["nothing.weight", "linear1.weight"]])).Message);
    }

    [Fact]
    public void An_embedding_and_a_head_are_tied_whichever_object_names_the_weight()
    {
        var (embedding, head) = (Embedding(6, 4), Linear(4, 6, hasBias: false));
        head.weight = embedding.weight!;
        var model = TestModels.Named(("embedding", embedding), ("head", head));
        Assert.Equal([["embedding.weight", "head.weight"]], BigModeling.FindTiedParameters(model));
        Assert.Equal(96, BigModeling.ComputeModuleSizes(model)[""]);
    }

    [Theory]
    [InlineData("0MB", 0)]
    [InlineData("100MB", 100_000_000)]
    [InlineData("2GiB", 1L << 31)]
    [InlineData("512KiB", 524_288)]
    [InlineData("1.5GB", 1_500_000_000)]
    [InlineData("100KB", 100_000)]
    [InlineData("2Gb", 250_000_000)]
    public void Amounts_of_memory(string text, long bytes) => Assert.Equal(bytes, MemorySize.Parse(text).Bytes);

    [Theory]
    [InlineData("5MBB")]
    [InlineData("5k0MB")]
    [InlineData("-1GB")]
    [InlineData("MB")]
    public void What_is_no_amount_of_memory_is_refused(string text) => Assert.Contains($"'{text}'", Assert.Throws<ArgumentException>(() => MemorySize.Parse(text)).Message);

    [Fact]
    public void Placements_are_written_and_read_as_maps_write_them()
    {
        Assert.Equal(["1", "1", "0", "cpu", "disk", "cpu"], new Placement[] { 1, "cuda:1", "cuda", "cpu", "disk", CPU }.Select(placement => placement.ToString()));
        Assert.Contains("'tpu'", Assert.Throws<ArgumentException>(() => Placement.Parse("tpu")).Message);
        Assert.Throws<ArgumentException>(() => (Placement)META);
        Assert.Equal(["0", "2", "cpu", "disk"], BigModeling.GetMaxMemory(Memory("disk:1 cpu:5 2:3 0:7")).Keys.Select(key => key.ToString()));
        Assert.True(BigModeling.GetMaxMemory()[Placement.Cpu].Bytes > 1 << 20);
        Assert.Throws<ArgumentException>(() => BigModeling.GetMaxMemory(new MaxMemory { [0] = -1 }));
    }

    private static ModelForTest WithBuffers()
    {
        var model = new ModelForTest();
        TestModels.AddBuffer(model.linear1, "test_buffer1", 10, 2);
        TestModels.AddBuffer(model.batchnorm, "test_buffer2", 10, 3);
        TestModels.AddBuffer(model.linear2, "test_buffer3", 10, 3);
        return model;
    }

    private static MaxMemory Memory(string text)
    {
        var memory = new MaxMemory();
        foreach (var entry in Entries(text)) memory[Placement.Parse(entry[0])] = long.Parse(entry[1]);
        return memory;
    }

    private static DeviceMap Map(string text)
    {
        var map = new DeviceMap();
        foreach (var entry in Entries(text)) map[entry[0]] = entry[1];
        return map;
    }

    private static IEnumerable<string[]> Entries(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(entry => entry.Split(':'));

    private static void AssertMap(string expected, DeviceMap actual) => Assert.Equal(
        Map(expected).OrderBy(entry => entry.Key, StringComparer.Ordinal), actual.OrderBy(entry => entry.Key, StringComparer.Ordinal));

    private sealed class NamesAlike : Module<Tensor, Tensor>
    {
        public readonly Compute compute = new();

        public NamesAlike() : base(nameof(NamesAlike)) => RegisterComponents();

        public override Tensor forward(Tensor input) => compute.call(input);

        public sealed class Compute : Module<Tensor, Tensor>
        {
            public readonly Parameter weight = Parameter(randn(8, 3));
            public readonly Holder weight_submodule;

            public Compute() : base(nameof(Compute))
            {
                weight_submodule = new Holder(weight);
                RegisterComponents();
            }

            public override Tensor forward(Tensor input) => functional.linear(weight_submodule.call(input), weight);
        }

        public sealed class Holder : Module<Tensor, Tensor>
        {
            public readonly Parameter parameter;

            public Holder(Parameter shared) : base(nameof(Holder))
            {
                parameter = shared;
                RegisterComponents();
            }

            public override Tensor forward(Tensor input) => input + parameter.max();
        }
    }
}
