using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Models that are constructed without weights.</summary>
public sealed class EmptyWeightsTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void Parameters_are_on_meta_and_buffers_keep_their_values()
    {
        var model = BigModeling.InitEmptyWeights(() => new ModelForTest());
        Assert.All(model.parameters(), parameter => Assert.True(parameter.is_meta && parameter.requires_grad));
        Assert.Equal([5L, 4], model.linear2.weight.shape);
        Assert.Equal(1f, model.batchnorm.running_var![0].item<float>());
        // Computing with them gives shapes.
        Assert.Equal([2L, 4], functional.linear(ones(2, 3, device: META), model.linear1.weight, model.linear1.bias).shape);
    }

    [Fact]
    public void Buffers_go_too_where_that_is_asked_for()
    {
        var model = BigModeling.InitEmptyWeights(() => new ModelForTest(), includeBuffers: true);
        Assert.All(model.buffers(), buffer => Assert.True(buffer.is_meta));
        Assert.Equal([4L], model.batchnorm.running_mean!.shape);
    }

    [Fact]
    public void Modules_that_compute_in_native_code_are_emptied_and_can_be_filled_again()
    {
        var model = BigModeling.InitEmptyWeights(() => TestModels.Named(("embedding", Embedding(7, 4))));
        var embedding = (Embedding)model.children().First();
        Assert.True(embedding.weight!.is_meta);

        var lstm = BigModeling.InitEmptyWeights(() => LSTM(4, 3));
        Assert.Equal([12L, 4], lstm.get_parameter("weight_ih_l0")!.shape);
        var weights = ModelTensorsOf(lstm);
        Assert.All(weights, weight => Assert.True(weight.IsEmpty));
        var full = LSTM(4, 3);
        foreach (var (weight, source) in weights.Zip(full.parameters())) weight.Put(source);
        Assert.All(weights, weight => Assert.False(weight.IsEmpty));
        var input = randn(5, 2, 4);
        Assert.True(full.call(input).Item1.allclose(lstm.call(input).Item1));
    }

    [Fact]
    public void Tied_weights_stay_tied()
    {
        var model = BigModeling.InitEmptyWeights(() =>
        {
            var (embedding, head) = (Embedding(6, 4), Linear(4, 6, hasBias: false));
            head.weight = embedding.weight!;
            return TestModels.Named(("embedding", embedding), ("head", head));
        });
        Assert.Equal([["embedding.weight", "head.weight"]], BigModeling.FindTiedParameters(model));
    }

    [Fact]
    public void A_model_of_forty_gigabytes_takes_no_memory()
    {
        var before = Environment.WorkingSet;
        var model = BigModeling.InitEmptyWeights(() => Sequential([.. Enumerable.Range(0, 100).Select(i => ($"layer{i}", (Module<Tensor, Tensor>)Linear(10_000, 10_000)))]));
        Assert.True(Environment.WorkingSet - before < 500L << 20, $"{(Environment.WorkingSet - before) >> 20} MiB more");
        Assert.Equal(100L * (10_000 * 10_000 + 10_000) * 4, BigModeling.ComputeModuleSizes(model)[""]);
    }

    [Fact]
    public void Numbers_that_are_no_parameters_are_still_drawn()
    {
        var drawn = empty(0);
        BigModeling.InitEmptyWeights(() =>
        {
            drawn = rand(1000);
            return Linear(2, 2);
        });
        Assert.InRange(drawn.mean().item<float>(), 0.4f, 0.6f);
    }

    [Fact]
    public void Outside_everything_is_as_before_also_after_an_exception()
    {
        Assert.Throws<InvalidOperationException>(() => BigModeling.InitEmptyWeights<Linear>(() => throw new InvalidOperationException()));
        var linear = Linear(100, 100);
        Assert.False(linear.weight.is_meta);
        Assert.InRange(linear.weight.detach().std().item<float>(), 0.01f, 0.2f);
        Assert.Equal(ScalarType.Float32, linear.call(ones(1, 100)).dtype);

        Assert.Throws<InvalidOperationException>(() => BigModeling.InitOnDevice<Linear>(CPU, () => throw new InvalidOperationException(), includeBuffers: true));
        Assert.Equal(DeviceType.CPU, get_default_device().type);
    }

    [Fact]
    public void Weights_made_on_a_device_are_initialized()
    {
        foreach (var includeBuffers in new[] { false, true })
        {
            var model = BigModeling.InitOnDevice(CPU, () => new ModelForTest(), includeBuffers);
            Assert.Equal([2L, 5], model.call(randn(2, 3)).shape);
            Assert.True(model.linear1.weight.detach().std().item<float>() > 0);
        }
    }

    private static IReadOnlyList<AccelerateSharp.BigModel.ModelTensor> ModelTensorsOf(Module model) => AccelerateSharp.BigModel.ModelTensors.Of(model);
}
