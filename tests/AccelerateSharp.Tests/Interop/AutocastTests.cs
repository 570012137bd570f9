using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

public sealed class AutocastTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    private static ScalarType ProductType()
    {
        using var a = ones(2, 2);
        using var product = a.matmul(a);
        return product.dtype;
    }

    [Theory]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void A_region_computes_in_its_dtype_and_puts_everything_back(ScalarType dtype)
    {
        var before = (Autocast.IsEnabled(DeviceType.CPU), Autocast.Dtype(DeviceType.CPU), Autocast.IsCacheEnabled);
        using (Autocast.Enter(DeviceType.CPU, dtype))
        {
            Assert.Equal(dtype, ProductType());
            Assert.Equal(float32, ones(3).softmax(0).dtype);
            Assert.False(Autocast.IsEnabled(DeviceType.CUDA));
        }
        Assert.Equal(float32, ProductType());
        Assert.Equal(before, (Autocast.IsEnabled(DeviceType.CPU), Autocast.Dtype(DeviceType.CPU), Autocast.IsCacheEnabled));
    }

    [Fact]
    public void Regions_nest()
    {
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16))
        {
            using (Autocast.Enter(DeviceType.CPU, ScalarType.Float16))
            {
                Assert.Equal(float16, ProductType());
                using (Autocast.Enter(DeviceType.CPU, ScalarType.Float32, enabled: false)) Assert.Equal(float32, ProductType());
                Assert.Equal(float16, ProductType());
            }
            Assert.Equal(bfloat16, ProductType());
        }
        Assert.Equal(float32, ProductType());
    }

    [Fact]
    public void The_region_ends_with_an_exception_too()
    {
        Assert.Throws<TimeoutException>(Fail);
        Assert.Equal(float32, ProductType());
    }

    private static void Fail()
    {
        using var region = Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16);
        throw new TimeoutException();
    }

    [Fact]
    public void It_is_a_matter_of_one_thread()
    {
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16))
        {
            var elsewhere = ScalarType.BFloat16;
            var thread = new Thread(() => elsewhere = ProductType());
            thread.Start();
            thread.Join();
            Assert.Equal(float32, elsewhere);
        }
    }

    [Fact]
    public void The_switches_of_CUDA_are_its_own()
    {
        using (Autocast.Enter(DeviceType.CUDA, ScalarType.Float16))
        {
            Assert.True(Autocast.IsEnabled(DeviceType.CUDA));
            Assert.Equal(float16, Autocast.Dtype(DeviceType.CUDA));
            Assert.False(Autocast.IsEnabled(DeviceType.CPU));
            Assert.Equal(float32, ProductType());
        }
        Assert.False(Autocast.IsEnabled(DeviceType.CUDA));
    }

    [Fact]
    public void Cached_casts_follow_the_weights()
    {
        var weight = nn.Parameter(ones(2, 2));
        var x = ones(1, 2);
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16))
        {
            Assert.Equal(2f, x.matmul(weight)[0, 0].to(float32).item<float>());
            using (no_grad()) weight.fill_(3);
            Autocast.ClearCache();
            Assert.Equal(6f, x.matmul(weight)[0, 0].to(float32).item<float>());
        }
        using (no_grad()) weight.fill_(4);
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16))
            Assert.Equal(8f, x.matmul(weight)[0, 0].to(float32).item<float>());
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16, cacheWeights: false))
        {
            Assert.Equal(8f, x.matmul(weight)[0, 0].to(float32).item<float>());
            using (no_grad()) weight.fill_(5);
            Assert.Equal(10f, x.matmul(weight)[0, 0].to(float32).item<float>());
        }
    }

    [Fact]
    public void Gradients_come_back_in_the_weights_dtype()
    {
        var weight = nn.Parameter(ones(2, 2));
        Tensor loss;
        using (Autocast.Enter(DeviceType.CPU, ScalarType.BFloat16)) loss = ones(1, 2).matmul(weight).to(float32).sum();
        loss.backward();
        Assert.Equal(float32, weight.grad!.dtype);
        Assert.Equal([1f, 1f, 1f, 1f], weight.grad!.data<float>().ToArray());
    }

    [Fact]
    public void What_makes_no_sense_is_refused_and_changes_nothing()
    {
        Assert.Throws<ArgumentException>(() => Autocast.Enter(DeviceType.CPU, ScalarType.Float32).Dispose());
        Assert.Throws<NotSupportedException>(() => Autocast.Enter(DeviceType.META, ScalarType.BFloat16).Dispose());
        Assert.Equal(float32, ProductType());
    }
}
