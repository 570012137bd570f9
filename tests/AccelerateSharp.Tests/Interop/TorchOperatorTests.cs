using System.Runtime.InteropServices;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

[Collection(ProcessWideCounters.Name)]
public sealed unsafe class TorchOperatorTests : IDisposable
{
    private static readonly TorchOperator _mul = TorchOperator.Get("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor");
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    /// <summary>How many native references a tensor has: the counter follows the virtual table of its implementation.</summary>
    private static uint References(Tensor tensor) => *(uint*)(TensorHandles.Identity(tensor) + sizeof(nint));

    private static float[] Values(Tensor tensor) => tensor.to(float32, copy: true).data<float>().ToArray();

    [Fact]
    public void A_tensor_result_is_owned_and_arguments_keep_their_references()
    {
        var (a, b) = (tensor(new[] { 1f, 2f }), tensor(new[] { 3f, 4f }));
        var live = Tensor.TotalCount;
        using (var product = _mul.CallForTensor(a, b))
        {
            Assert.Equal(1u, References(product));
            Assert.Equal([3f, 8f], product.data<float>().ToArray());
        }
        Assert.Equal((1u, 1u), (References(a), References(b)));
        Assert.Equal(live, Tensor.TotalCount);
    }

    [Fact]
    public void Autograd_sees_the_call()
    {
        var a = tensor(new[] { 1f, 2f }, requires_grad: true);
        _mul.CallForTensor(a, a).sum().backward();
        Assert.Equal([2f, 4f], Values(a.grad!));
    }

    [Fact]
    public void Lists_are_read_written_and_returned()
    {
        Tensor[] tensors = [tensor(new[] { 1f, 2f }), tensor(new[] { 3f })];
        TorchOperator.Get("aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()").Call(tensors, tensor(10f));
        Assert.Equal([10f, 20f], Values(tensors[0]));
        Assert.Equal([30f], Values(tensors[1]));

        Tensor[] targets = [zeros(2), zeros(1)];
        TorchOperator.Get("aten::_foreach_copy_(Tensor(a!)[] self, Tensor[] src, bool non_blocking=False) -> ()").Call(targets, tensors);
        Assert.Equal([10f, 20f, 30f], [.. Values(targets[0]), .. Values(targets[1])]);

        var roots = TorchOperator.Get("aten::_foreach_sqrt(Tensor[] self) -> Tensor[]").CallForTensors(tensors);
        Assert.Equal(2, roots.Length);
        Assert.Equal(MathF.Sqrt(20), Values(roots[0])[1]);
        Assert.All(tensors.Concat(targets).Concat(roots), tensor => Assert.Equal(1u, References(tensor)));
    }

    [Fact]
    public void Several_results_come_in_order()
    {
        var (values, indices) = TorchOperator.Get("aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)")
            .CallForTensors(tensor(new[,] { { 1f, 5f }, { 7f, 2f } }), 1L) is [var first, var second] ? (first, second) : throw new InvalidOperationException();
        Assert.Equal([5f, 7f], Values(values));
        Assert.Equal([1f, 0f], Values(indices));
    }

    [Fact]
    public void Numbers_flags_dtypes_strings_devices_and_lists_of_numbers_arrive()
    {
        var x = tensor(new[] { 7f, -7f });
        Assert.Equal([3f, -4f], Values(TorchOperator.Get("aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor").CallForTensor(x, tensor(2f), "floor")));
        Assert.Equal([3.5f, -3.5f], Values(TorchOperator.Get("aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor").CallForTensor(x, tensor(2f), TorchArgument.None)));

        var sum = TorchOperator.Get("aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor");
        var matrix = tensor(new[,] { { 1f, 2f }, { 3f, 4f } });
        Assert.Equal([4f, 6f], Values(sum.CallForTensor(matrix, new long[] { 0 })));
        Assert.Equal([10f], Values(sum.CallForTensor(matrix, TorchArgument.None)));
        var kept = sum.CallForTensor(matrix, new long[] { 1 }, true, ScalarType.Float64);
        Assert.Equal(float64, kept.dtype);
        Assert.Equal([2L, 1L], kept.shape);

        var meta = TorchOperator.Get("aten::empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor")
            .CallForTensor(new long[] { 3, 5 }, ScalarType.BFloat16, TorchArgument.None, new Device(DeviceType.META), false);
        Assert.Equal((bfloat16, DeviceType.META), (meta.dtype, meta.device_type));
        Assert.Equal([3L, 5L], meta.shape);

        var indexed = TorchOperator.Get("aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor").CallForTensor(matrix, new Tensor?[] { null, tensor(1L) });
        Assert.Equal([2f, 4f], Values(indexed));
        Assert.Equal(1f, Values(TorchOperator.Get("aten::dropout(Tensor input, float p, bool train) -> Tensor").CallForTensor(tensor(1f), 0.5, false))[0]);
    }

    [Fact]
    public void Resize_returns_its_tensor_without_keeping_it()
    {
        var x = zeros(2);
        TorchOperator.Get("aten::resize_(Tensor(a!) self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor(a!)").Call(x, new long[] { 4, 4 });
        Assert.Equal([4L, 4L], x.shape);
        Assert.Equal(1u, References(x));
    }

    [Fact]
    public void Fused_adamw_equals_TorchSharps_own()
    {
        var adamw = TorchOperator.Get(
            "aten::_fused_adamw_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, " +
            "float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()");
        random.manual_seed(3);
        Tensor[] expected = [randn(5, 3), randn(7)];
        Tensor[] actual = [.. expected.Select(value => value.clone())];
        var leaves = expected.Select(value => nn.Parameter(value)).ToArray();
        Tensor[] averages = [.. actual.Select(value => zeros_like(value))];
        Tensor[] squares = [.. actual.Select(value => zeros_like(value))];
        Tensor[] steps = [.. actual.Select(_ => tensor(0f))];
        using var optimizer = optim.AdamW(leaves, 1e-2, weight_decay: 0.1);
        for (var step = 1; step <= 3; step++)
        {
            Tensor[] gradients = [.. actual.Select(value => randn_like(value))];
            for (var i = 0; i < leaves.Length; i++) leaves[i].grad = gradients[i].clone();
            optimizer.step();
            foreach (var count in steps) count.add_(1);
            using (no_grad())
                adamw.Call(actual, gradients, averages, squares, Array.Empty<Tensor>(), steps, 1e-2, 0.9, 0.999, 0.1, 1e-8, false, false);
        }
        for (var i = 0; i < actual.Length; i++) Assert.True(allclose(leaves[i], actual[i], rtol: 1e-5, atol: 1e-6));
    }

    [Fact]
    public void Wrong_arguments_are_named_before_anything_is_called()
    {
        var x = zeros(2);
        Assert.Contains("aten::mul.Tensor takes 2 arguments, not 3", Assert.Throws<ArgumentException>(() => _mul.CallForTensor(x, x, x)).Message);
        Assert.Contains("parameter 'other' (Tensor)", Assert.Throws<ArgumentException>(() => _mul.CallForTensor(x)).Message);
        Assert.Contains("parameter 'other' is Tensor, not Float", Assert.Throws<ArgumentException>(() => _mul.CallForTensor(x, 2.0)).Message);
        Assert.Contains("parameter 'other' is Tensor, not None", Assert.Throws<ArgumentException>(() => _mul.CallForTensor(x, TorchArgument.None)).Message);
        var disposed = zeros(1);
        disposed.Dispose();
        Assert.Contains("'self' has been disposed", Assert.Throws<ArgumentException>(() => _mul.CallForTensor(disposed, x)).Message);
        var foreach_ = TorchOperator.Get("aten::_foreach_sqrt(Tensor[] self) -> Tensor[]");
        Assert.Contains("tensor 1 of parameter 'self' is null", Assert.Throws<ArgumentException>(() => foreach_.CallForTensors(new Tensor?[] { x, null })).Message);
        Assert.Throws<InvalidOperationException>(() => foreach_.CallForTensor(new[] { x }));
        Assert.Equal(1u, References(x));
    }

    [Fact]
    public void What_the_interface_cannot_carry_is_said_when_the_operator_is_looked_up()
    {
        Assert.Contains("Scalar", Assert.Throws<NotSupportedException>(() => TorchOperator.Get("aten::_foreach_norm.Scalar(Tensor[] self, Scalar ord=2, ScalarType? dtype=None) -> Tensor[]")).Message);
        Assert.Throws<FormatException>(() => TorchOperator.Get("mul(Tensor self)"));
        Assert.Same(_mul, TorchOperator.Get("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor"));
    }

    [Fact]
    public void A_failure_names_the_operator_and_the_shapes()
    {
        var error = Assert.Throws<ExternalException>(() => _mul.CallForTensor(zeros(2), zeros(3)));
        Assert.Contains("aten::mul.Tensor", error.Message);
        Assert.Contains("[2] on cpu", error.Message);
        var missing = Assert.Throws<ExternalException>(() => TorchOperator.Get("aten::no_such_operator.Overload(Tensor self) -> ()").Call(zeros(1)));
        Assert.Contains("aten::no_such_operator.Overload", missing.Message);
    }

    [Fact]
    public void A_thousand_calls_leave_nothing_behind()
    {
        var (a, b) = (randn(8), randn(8));
        Tensor[] list = [a, b];
        var sqrt = TorchOperator.Get("aten::_foreach_sqrt(Tensor[] self) -> Tensor[]");
        var live = Tensor.TotalCount;
        for (var i = 0; i < 1000; i++)
        {
            using var product = _mul.CallForTensor(a, b);
            foreach (var root in sqrt.CallForTensors(list)) root.Dispose();
        }
        Assert.Equal(live, Tensor.TotalCount);
        Assert.Equal((1u, 1u), (References(a), References(b)));
    }
}
