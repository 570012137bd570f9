using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

/// <summary>Streams, events, autocast, storage and autograd callbacks on a GPU; without one they are skipped.</summary>
public sealed class CudaTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public CudaTests() => Assert.SkipUnless(cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void A_stream_waits_for_an_event_of_another_and_times_what_it_ran()
    {
        var context = CudaContext.Of(0);
        using var stream = CudaStream.CreateNonBlocking(context);
        using var start = CudaEvent.Create(context, timing: true);
        using var end = CudaEvent.Create(context, timing: true);
        using var produced = CudaEvent.Create(context);
        var source = arange(1 << 22, dtype: ScalarType.Float32, device: CUDA);
        var target = zeros_like(source);
        produced.Record(TorchCuda.CurrentStream(0));
        stream.WaitFor(produced);
        start.Record(stream.Raw);
        CudaDriver.CopyAsync(TensorStorage.Address(target), TensorStorage.Address(source), source.numel() * 4, stream.Raw);
        end.Record(stream.Raw);
        end.Synchronize();
        Assert.True(stream.IsIdle);
        Assert.True(end.MillisecondsSince(start) > 0);
        Assert.True(target.equal(source).all().item<bool>());
    }

    [Fact]
    public void Libtorch_computes_on_the_stream_it_is_given_and_goes_back()
    {
        var before = TorchCuda.CurrentStream(0);
        using var stream = CudaStream.CreateNonBlocking(CudaContext.Of(0));
        using (TorchCuda.Use(stream.Raw, 0))
        {
            Assert.Equal(stream.Raw, TorchCuda.CurrentStream(0));
            var product = ones(512, 512, device: CUDA).matmul(ones(512, 512, device: CUDA));
            stream.Synchronize();
            Assert.Equal(512f, product[0, 0].item<float>());
        }

        Assert.Equal(before, TorchCuda.CurrentStream(0));
    }

    [Fact]
    public void Autocast_switches_cuda_alone()
    {
        var matrix = ones(16, 16, device: CUDA);
        using (Autocast.Enter(DeviceType.CUDA, ScalarType.BFloat16))
        {
            Assert.Equal(bfloat16, matrix.matmul(matrix).dtype);
            Assert.Equal(float32, ones(2, 2).matmul(ones(2, 2)).dtype);
        }

        Assert.Equal(float32, matrix.matmul(matrix).dtype);
    }

    [Fact]
    public void A_node_is_called_on_the_thread_of_the_device_and_its_error_reaches_the_caller()
    {
        var leaf = ones(4, device: CUDA).requires_grad_();
        var alias = leaf.detach();
        var thread = 0;
        var errors = new BackwardErrors();
        AutogradNode.Attach([leaf], [alias], gradients =>
        {
            thread = Environment.CurrentManagedThreadId;
            gradients.PassOn(0, gradients[0]!);
        }, errors);
        (alias * 3).sum().backward();
        errors.ThrowPending();
        Assert.NotEqual(Environment.CurrentManagedThreadId, thread);
        Assert.Equal(3f, leaf.grad!.mean().item<float>());

        var failing = leaf.detach();
        AutogradNode.Attach([leaf], [failing], _ => throw new TimeZoneNotFoundException(), errors);
        failing.sum().backward();
        Assert.Throws<TimeZoneNotFoundException>(errors.ThrowPending);
    }

    [Fact]
    public void Nodes_run_in_the_order_of_their_gradients()
    {
        Assert.True(NodePriority.IsEnabled);
        var weights = Enumerable.Range(0, 3).Select(_ => randn(64, 64, device: CUDA).requires_grad_()).ToArray();
        var aliases = weights.Select(weight => weight.detach()).ToArray();
        var order = new List<int>();
        for (var i = 0; i < weights.Length; i++)
        {
            var layer = i;
            AutogradNode.Attach([weights[i]], [aliases[i]], _ => order.Add(layer));
        }

        var hidden = randn(8, 64, device: CUDA);
        foreach (var alias in aliases) hidden = hidden.matmul(alias).tanh();
        hidden.sum().backward();
        Assert.Equal([2, 1, 0], order);
    }

    [Fact]
    public void Freed_and_refilled_memory_gives_the_same_gradients()
    {
        var weight = randn(32, 32, device: CUDA);
        var input = randn(8, 32, device: CUDA).requires_grad_();
        input.matmul(weight).pow(2).sum().backward();
        using var expected = input.grad!.clone();
        input.grad!.zero_();

        var copy = weight.clone();
        var full = weight.clone();
        var control = TensorStorage.ControlOf(full);
        var result = input.matmul(full).pow(2).sum();
        TensorStorage.Free(control);
        Assert.True(TensorStorage.ByteCount(full) < copy.numel());
        TensorStorage.Allocate(control, copy.numel());
        using (no_grad()) control.copy_(copy.flatten());
        result.backward();
        Assert.True(input.grad!.equal(expected).all().item<bool>());
    }
}
