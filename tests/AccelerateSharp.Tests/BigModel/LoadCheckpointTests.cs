using AccelerateSharp.BigModel;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Checkpoints that are loaded by a device map.</summary>
public sealed class LoadCheckpointTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly BlockModel _whole = new(tied: true);
    private readonly Tensor _tokens = randint(BlockModel.Words, [2, 5]);

    public LoadCheckpointTests() => SafetensorsCheckpoint.Save(_whole.state_dict(), Checkpoint, maxShardSize: 8_000);

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string Checkpoint => Path.Combine(_folder, "checkpoint");

    private string Offload => Path.Combine(_folder, "offload");

    [Fact]
    public void An_empty_model_is_loaded_and_spread_and_its_disk_weights_stay_in_the_checkpoint()
    {
        using var noGrad = no_grad();
        var expected = _whole.call(_tokens);
        var (plain, spread) = (Empty(), Empty());
        BigModeling.LoadCheckpointInModel(plain, Checkpoint);
        AssertSame(expected, plain.call(_tokens));
        Assert.Equal([["embed.weight", "head.weight"]], BigModeling.FindTiedParameters(plain));

        var map = new DeviceMap { ["embed"] = "cpu", ["layers"] = "disk", ["norm"] = "cpu", ["head"] = "cpu" };
        BigModeling.LoadCheckpointAndDispatch(spread, Checkpoint, map, Offload);
        for (var pass = 0; pass < 2; pass++) AssertSame(expected, spread.call(_tokens));
        Assert.Equal(["index.json"], Directory.EnumerateFiles(Offload).Select(Path.GetFileName));
        Assert.True(spread.layers[0].up.weight.is_meta && !spread.embed.weight!.is_meta);
        // Removed hooks leave what was never in memory where it is.
        ModelHooks.RemoveHookFromModule(spread, recurse: true);
        Assert.True(spread.layers[0].up.weight.is_meta);
    }

    [Fact]
    public void Maps_are_inferred_from_limits()
    {
        using var noGrad = no_grad();
        var expected = _whole.call(_tokens);
        var sizes = BigModeling.ComputeModuleSizes(_whole);
        var block = sizes["layers.0"];
        foreach (var blocks in new[] { 2, 6, 20 })
        {
            var model = BigModeling.LoadCheckpointAndDispatch(Empty(), Checkpoint, maxMemory: new MaxMemory { ["cpu"] = sizes["embed"] + blocks * block },
                noSplitModuleClasses: [nameof(BlockModel.Block)], offloadFolder: Offload);
            var map = BigModeling.DeviceMapOf(model)!;
            Assert.Equal(blocks == 20, map.Values.All(place => place == Placement.Cpu));
            AssertSame(expected, model.call(_tokens));
        }
        Assert.Contains("Memory is too small", Assert.Throws<InvalidOperationException>(() =>
            BigModeling.LoadCheckpointAndDispatch(Empty(), Checkpoint, DeviceMapStrategy.Sequential, new MaxMemory { ["cpu"] = 3 * block })).Message);
    }

    [Fact]
    public void Weights_get_the_dtype_that_is_asked_for_and_parts_stay_float32()
    {
        var model = Empty();
        BigModeling.LoadCheckpointInModel(model, Checkpoint, Map("cpu", "disk"), Offload, ScalarType.Float16, keepInFp32Modules: ["down", "norm"]);
        Assert.Equal((ScalarType.Float16, ScalarType.Float32), (model.embed.weight!.dtype, model.norm.weight!.dtype));
        Assert.Equal((ScalarType.Float16, ScalarType.Float32), (model.layers[0].up.weight.dtype, model.layers[0].down.weight.dtype));
        // What changes is written; the rest stays in the checkpoint.
        Assert.True(File.Exists(Path.Combine(Offload, "layers.0.up.weight.dat")));
        Assert.False(File.Exists(Path.Combine(Offload, "layers.0.down.weight.dat")));
        BigModeling.DispatchModel(model, Map("cpu", "disk"), offloadFolder: Offload);
        var state = BigModeling.GetStateDictOffloadedModel(model);
        AssertSame(_whole.layers[3].up.weight.to(ScalarType.Float16), state["layers.3.up.weight"]);
        AssertSame(_whole.layers[3].down.weight, state["layers.3.down.weight"]);
        Assert.Equal(ScalarType.Float16, model.layers[0].named_buffers().Single().buffer.dtype);

        var bf16 = Empty();
        BigModeling.LoadCheckpointInModel(bf16, Checkpoint, dtype: ScalarType.BFloat16, keepInFp32Modules: ["down"]);
        Assert.All(bf16.parameters(), parameter => Assert.Equal(ScalarType.BFloat16, parameter.dtype));
    }

    [Fact]
    public void A_model_that_has_weights_is_loaded_in_place()
    {
        var model = new BlockModel();
        var weight = model.head.weight;
        var address = Internal.Interop.TensorStorage.Address(weight);
        List<string> said = [];
        using (Notices.Listen(said.Add)) BigModeling.LoadCheckpointInModel(model, Checkpoint);
        Assert.Equal(address, Internal.Interop.TensorStorage.Address(model.head.weight));
        Assert.True(model.head.weight.requires_grad);
        AssertSame(_whole.head.weight, model.head.weight);
        Assert.Empty(said);
    }

    [Fact]
    public void What_does_not_fit_is_told_or_refused()
    {
        var other = TestModels.Named(("embed", Embedding(BlockModel.Words, BlockModel.Width)), ("new", Linear(2, 2)));
        List<string> said = [];
        using (Notices.Listen(said.Add)) BigModeling.LoadCheckpointInModel(other, Checkpoint);
        Assert.Equal(2, said.Count);
        Assert.Contains("new.weight, new.bias", said[0]);
        Assert.Contains("layers.0.", said[1]);
        var strict = Assert.Throws<ArgumentException>(() => BigModeling.LoadCheckpointInModel(other, Checkpoint, strict: true)).Message;
        Assert.Contains("lacks 2", strict);
        Assert.Contains("does not have", strict);

        Assert.Contains("none of the tensors", Assert.Throws<ArgumentException>(() => BigModeling.LoadCheckpointInModel(Linear(2, 2), Checkpoint)).Message);
        var wide = TestModels.Named(("embed", Embedding(BlockModel.Words + 1, BlockModel.Width)));
        Assert.Contains("[40, 16] in the checkpoint and [41, 16]", Assert.Throws<ArgumentException>(() => BigModeling.LoadCheckpointInModel(wide, Checkpoint)).Message);
        Assert.Contains("offloadFolder", Assert.Throws<ArgumentException>(() => BigModeling.LoadCheckpointInModel(Empty(), Checkpoint, DeviceMap.All("disk"))).Message);
        Assert.Contains("norm.weight", Assert.Throws<ArgumentException>(() => BigModeling.LoadCheckpointInModel(Empty(), Checkpoint, new DeviceMap { ["embed"] = "cpu", ["layers"] = "cpu", ["head"] = "cpu" })).Message);
        Assert.Throws<FileNotFoundException>(() => BigModeling.LoadCheckpointInModel(Empty(), Path.Combine(_folder, "nowhere")));
    }

    [Fact]
    public void One_tensor_is_set_with_the_checks_of_the_reference()
    {
        var model = BigModeling.InitEmptyWeights(() => new ModelForTest());
        Assert.Contains("needs a value", Assert.Throws<ArgumentException>(() => BigModeling.SetModuleTensorToDevice(model, "linear1.weight", CPU)).Message);
        Assert.Contains("[4, 3], and the value has [3, 4]", Assert.Throws<ArgumentException>(() => BigModeling.SetModuleTensorToDevice(model, "linear1.weight", CPU, ones(3, 4))).Message);
        Assert.Contains("linear1.missing", Assert.Throws<ArgumentException>(() => BigModeling.SetModuleTensorToDevice(model, "linear1.missing", CPU, ones(1))).Message);
        var field = model.linear1.weight;
        BigModeling.SetModuleTensorToDevice(model, "linear1.weight", CPU, ones(4, 3, ScalarType.Float16));
        Assert.Same(field, model.linear1.weight);
        Assert.True(field.dtype == ScalarType.Float32 && field.requires_grad && !field.is_meta);
        BigModeling.SetModuleTensorToDevice(model, "linear1.weight", CPU, ones(4, 3), ScalarType.BFloat16);
        Assert.Equal(ScalarType.BFloat16, field.dtype);
        BigModeling.SetModuleTensorToDevice(model, "batchnorm.num_batches_tracked", CPU, tensor(7L), ScalarType.Float16);
        Assert.Equal(ScalarType.Int64, model.batchnorm.num_batches_tracked!.dtype);
        BigModeling.SetModuleTensorToDevice(model, "linear1.weight", META);
        Assert.True(field.is_meta);
    }

    private static BlockModel Empty() => BigModeling.InitEmptyWeights(() => new BlockModel(tied: true));

    private static DeviceMap Map(Placement ends, Placement layers) => new() { ["embed"] = ends, ["layers"] = layers, ["norm"] = ends, ["head"] = ends };

    private static void AssertSame(Tensor expected, Tensor actual) =>
        Assert.True(expected.dtype == actual.dtype && expected.shape.SequenceEqual(actual.shape) && expected.equal(actual).all().item<bool>());
}
