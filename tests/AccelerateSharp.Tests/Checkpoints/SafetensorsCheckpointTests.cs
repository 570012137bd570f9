using AccelerateSharp.Internal.Interop;
using CsCheck;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Checkpoints;

public sealed class SafetensorsCheckpointTests : IDisposable
{
    private static readonly TorchOperator _view = TorchOperator.Get("aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)");

    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    public static TheoryData<int> Dtypes => [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 15, 23, 24, 27, 28, 29];

    [Theory]
    [MemberData(nameof(Dtypes))]
    public void Every_dtype_comes_back_bit_by_bit(int number)
    {
        var dtype = (ScalarType)number;
        // Bytes of every value, seen as elements; truth values are 0 and 1.
        var bytes = dtype == ScalarType.Bool ? randint(2, [64], ScalarType.Byte) : arange(64, ScalarType.Byte);
        var tensor = View(bytes, dtype).reshape(2, -1);
        SafetensorsCheckpoint.SaveFile([new("x", tensor)], File("x"));
        using var checkpoint = SafetensorsCheckpoint.Open(File("x"));
        Assert.Equal(dtype, checkpoint.Describe("x").Dtype);
        foreach (var read in (Tensor[])[checkpoint.Read("x"), checkpoint.Map("x")])
        {
            Assert.Equal((dtype, 2L), (read.dtype, read.shape[0]));
            Assert.True(View(read, ScalarType.Byte).flatten().equal(View(tensor, ScalarType.Byte).flatten()).all().item<bool>());
        }
    }

    [Fact]
    public void A_state_dict_comes_back_whole_from_one_file_and_from_many()
    {
        using var model = nn.Sequential(("a", nn.Linear(40, 30)), ("b", nn.LayerNorm(30)), ("c", nn.Linear(30, 5)));
        foreach (var maxShardSize in (long[])[1 << 20, 2000])
        {
            SafetensorsCheckpoint.Save(model.state_dict(), _folder, maxShardSize, new Dictionary<string, string> { ["step"] = "7" });
            var loaded = SafetensorsCheckpoint.Load(_folder);
            Assert.Equal(model.state_dict().Keys.Order(), loaded.Keys.Order());
            foreach (var (name, tensor) in model.state_dict()) Assert.True(tensor.equal(loaded[name]).all().item<bool>(), name);
            using var checkpoint = SafetensorsCheckpoint.Open(_folder);
            Assert.Equal(("pt", "7"), (checkpoint.Metadata["format"], checkpoint.Metadata["step"]));
            Assert.Equal(maxShardSize > 2000 ? 1 : 2, checkpoint.Files.Count);
        }
    }

    [Fact]
    public void Views_are_written_as_what_they_show_and_shared_memory_once()
    {
        var whole = arange(24, ScalarType.Float32).reshape(4, 6);
        SafetensorsCheckpoint.SaveFile([new("whole", whole), new("turned", whole.t()), new("tied", whole.alias()), new("column", whole.narrow(1, 2, 1))], File("x"));
        using var checkpoint = SafetensorsCheckpoint.Open(File("x"));
        Assert.Equal("whole", checkpoint.Metadata["tied"]);
        Assert.Equal(["column", "tied", "turned", "whole"], checkpoint.Names.Order());
        Assert.True(checkpoint.Read("turned").equal(whole.t()).all().item<bool>());
        Assert.True(checkpoint.Read("column").equal(whole.narrow(1, 2, 1)).all().item<bool>());
        var loaded = checkpoint.ReadAll();
        loaded["whole"].fill_(3);
        Assert.Equal(3f, loaded["tied"][1, 1].item<float>());
        Assert.Equal(2f, loaded["column"][0, 0].item<float>());
    }

    [Fact]
    public void Reading_converts_to_the_dtype_and_layout_of_the_destination()
    {
        var numbers = randn(6, 4);
        var counts = arange(3);
        SafetensorsCheckpoint.SaveFile([new("numbers", numbers), new("counts", counts)], File("x"));
        var loaded = SafetensorsCheckpoint.Load(File("x"), dtype: ScalarType.BFloat16);
        Assert.Equal((ScalarType.BFloat16, ScalarType.Int64), (loaded["numbers"].dtype, loaded["counts"].dtype));
        Assert.True(loaded["numbers"].equal(numbers.to(ScalarType.BFloat16)).all().item<bool>());

        using var checkpoint = SafetensorsCheckpoint.Open(File("x"));
        var turned = zeros(4, 6, ScalarType.Float64).t();
        checkpoint.ReadInto("numbers", turned);
        Assert.True(turned.equal(numbers.to(ScalarType.Float64)).all().item<bool>());
        Assert.Contains("[6, 4] in the file, but should be [4, 6]",
            Assert.Throws<ArgumentException>(() => checkpoint.ReadInto("numbers", zeros(4, 6))).Message, StringComparison.Ordinal);
        Assert.Contains("meta", Assert.Throws<ArgumentException>(() => checkpoint.Read("numbers", META)).Message, StringComparison.Ordinal);
        Assert.Contains("no tensor 'none'", Assert.Throws<KeyNotFoundException>(() => checkpoint.Read("none")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tensor_of_many_pieces_is_read_whole()
    {
        var large = arange(5_000_000, ScalarType.Int32);
        SafetensorsCheckpoint.SaveFile([new("large", large), new("none", empty(0, 3))], File("x"));
        var loaded = SafetensorsCheckpoint.Load(File("x"));
        Assert.True(loaded["large"].equal(large).all().item<bool>());
        Assert.Equal([0L, 3L], loaded["none"].shape);
    }

    [Fact]
    public void A_mapped_tensor_lives_on_after_the_checkpoint_and_never_writes_to_the_file()
    {
        SafetensorsCheckpoint.SaveFile([new("x", ones(1000)), new("y", ones(3, ScalarType.Float16))], File("x"));
        var before = System.IO.File.ReadAllBytes(File("x"));
        Tensor first, second;
        using (var checkpoint = SafetensorsCheckpoint.Open(File("x"))) (first, second) = (checkpoint.Map("x"), checkpoint.Map("x"));
        first.mul_(2);
        first.Dispose();
        Assert.Equal(2000f, second.sum().item<float>());
        second.Dispose();
        Assert.Equal(before, System.IO.File.ReadAllBytes(File("x")));
    }

    [Fact]
    public void What_cannot_be_saved_is_named()
    {
        var gone = ones(2);
        gone.Dispose();
        Assert.Contains("'gone' has been disposed", Assert.Throws<ArgumentException>(() => SafetensorsCheckpoint.SaveFile([new("gone", gone)], File("x"))).Message, StringComparison.Ordinal);
        Assert.Contains("'m' is on the meta device", Assert.Throws<ArgumentException>(() => SafetensorsCheckpoint.SaveFile([new("m", empty(2, device: META))], File("x"))).Message, StringComparison.Ordinal);
        Assert.Contains("'c' is of dtype ComplexFloat64", Assert.Throws<ArgumentException>(() => SafetensorsCheckpoint.SaveFile([new("c", zeros(2, ScalarType.ComplexFloat64))], File("x"))).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(_folder));
    }

    [Fact]
    public void Any_tensors_come_back_as_they_were_saved()
    {
        ScalarType[] dtypes = [ScalarType.Float32, ScalarType.BFloat16, ScalarType.Int64, ScalarType.Byte, ScalarType.Bool];
        Gen.Select(Gen.Int[0, dtypes.Length - 1], Gen.Int[0, 5].Array[0, 3]).Array[0, 6].Sample(specifications =>
        {
            using var scope = NewDisposeScope();
            var tensors = specifications.Select((item, i) => KeyValuePair.Create($"{i}", randint(0, 2, [.. item.Item2.Select(n => (long)n)], ScalarType.Float32).to(dtypes[item.Item1]))).ToList();
            SafetensorsCheckpoint.SaveFile(tensors, File("x"));
            var loaded = SafetensorsCheckpoint.Load(File("x"));
            Assert.Equal(tensors.Count, loaded.Count);
            foreach (var (name, tensor) in tensors)
            {
                Assert.Equal((tensor.dtype, string.Join(',', tensor.shape)), (loaded[name].dtype, string.Join(',', loaded[name].shape)));
                Assert.True(tensor.equal(loaded[name]).all().item<bool>());
                loaded[name].Dispose();
            }
        }, iter: 100, threads: 1);
    }

    [Fact]
    public void A_gpu_is_filled_through_pinned_memory()
    {
        Assert.SkipUnless(cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");
        var large = arange(20_000_000, ScalarType.Int32);
        var numbers = randn(1000, 7);
        SafetensorsCheckpoint.SaveFile([new("large", large), new("numbers", numbers), new("none", empty(0)), new("one", ones(1))], File("x"));
        for (var round = 0; round < 3; round++)
        {
            var loaded = SafetensorsCheckpoint.Load(File("x"), CUDA, ScalarType.Float16);
            Assert.All(loaded.Values, tensor => Assert.Equal(DeviceType.CUDA, tensor.device_type));
            Assert.True(loaded["large"].cpu().equal(large).all().item<bool>());
            Assert.True(loaded["numbers"].cpu().equal(numbers.to(ScalarType.Float16)).all().item<bool>());
            foreach (var tensor in loaded.Values) tensor.Dispose();
        }
        SafetensorsCheckpoint.SaveFile([new("large", large.cuda())], File("y"));
        Assert.True(SafetensorsCheckpoint.Load(File("y"))["large"].equal(large).all().item<bool>());
    }

    /// <summary>The same bytes as elements of another dtype.</summary>
    private static Tensor View(Tensor tensor, ScalarType dtype) => _view.CallForTensor(tensor, dtype);

    private string File(string name) => Path.Combine(_folder, name + ".safetensors");
}
