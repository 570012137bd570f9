using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Losses;
using AccelerateSharp.Tests.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = TorchSharp.torch.nn.functional;

namespace AccelerateSharp.Tests.Losses;

/// <summary>The fused loss is the plain loss, in value and gradients, and holds less.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class LinearCrossEntropyTests : IDisposable
{
    private const int Rows = 3, Columns = 7, Features = 16, Vocabulary = 37;

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<Reduction, double, bool, int?> Cases()
    {
        var data = new TheoryData<Reduction, double, bool, int?>();
        foreach (var reduction in Enum.GetValues<Reduction>())
        {
            data.Add(reduction, 0, false, null);
            data.Add(reduction, 0.1, true, 4);
            data.Add(reduction, 1, false, 21);
            data.Add(reduction, 0, true, 1);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Values_and_gradients_are_those_of_the_plain_loss(Reduction reduction, double smoothing, bool hasBias, int? chunkSize)
    {
        manual_seed(1);
        var (plain, fused) = (new Arguments(hasBias, float32), new Arguments(hasBias, float32));
        var expected = Plain(plain, reduction, smoothing);
        var actual = FusedLosses.LinearCrossEntropy(fused.Hidden, fused.Weight, fused.Targets, fused.Bias, -7, smoothing, reduction, chunkSize);

        Assert.Equal(expected.shape, actual.shape);
        Close(expected, actual, 1e-5);
        // What comes after the loss, a division by the accumulation steps for one, must reach the gradients.
        var weights = rand_like(expected) * 3;
        (expected * weights).sum().backward();
        (actual * weights).sum().backward();
        BackwardErrors.Shared.ThrowPending();
        Close(plain.Hidden.grad!, fused.Hidden.grad!, 1e-5);
        Close(plain.Weight.grad!, fused.Weight.grad!, 1e-5);
        if (hasBias) Close(plain.Bias!.grad!, fused.Bias!.grad!, 1e-5);
    }

    [Fact]
    public void Float64_is_computed_in_float64()
    {
        var (plain, fused) = (new Arguments(true, float64), new Arguments(true, float64));
        var expected = Plain(plain, Reduction.Mean, 0.2);
        var actual = FusedLosses.LinearCrossEntropy(fused.Hidden, fused.Weight, fused.Targets, fused.Bias, -7, 0.2, chunkSize: 5);
        expected.backward();
        actual.backward();
        Close(expected, actual, 1e-12);
        Close(plain.Weight.grad!, fused.Weight.grad!, 1e-12);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, 1e-2)]
    [InlineData(ScalarType.Float16, 2e-3)]
    public void Under_autocast_products_are_narrow_and_sums_are_not(ScalarType dtype, double tolerance)
    {
        var (plain, fused) = (new Arguments(false, float32), new Arguments(false, float32));
        var expected = Plain(plain, Reduction.Mean, 0);
        expected.backward();
        Tensor actual;
        using (Autocast.Enter(DeviceType.CPU, dtype))
        {
            actual = FusedLosses.LinearCrossEntropy(fused.Hidden, fused.Weight, fused.Targets, ignoreIndex: -7, chunkSize: 4);
            Assert.True(Autocast.IsEnabled(DeviceType.CPU));
        }

        // As under loss scaling: nothing may be lost because a mean divides by the number of tokens.
        (actual * 65536).backward();
        Assert.Equal(float32, actual.dtype);
        Close(expected, actual, tolerance);
        Close(plain.Hidden.grad!, fused.Hidden.grad! / 65536, tolerance * plain.Hidden.grad!.abs().max().item<float>());
        Close(plain.Weight.grad!, fused.Weight.grad! / 65536, tolerance * plain.Weight.grad!.abs().max().item<float>());
    }

    [Fact]
    public void Bfloat16_weights_get_bfloat16_gradients_that_were_summed_in_float32()
    {
        var (plain, fused) = (new Arguments(false, float32, bfloat16), new Arguments(false, bfloat16));
        Plain(plain, Reduction.Sum, 0).backward();
        var loss = FusedLosses.LinearCrossEntropy(fused.Hidden, fused.Weight, fused.Targets, ignoreIndex: -7, reduction: Reduction.Sum, chunkSize: 1);
        loss.backward();
        Assert.Equal(float32, loss.dtype);
        Assert.Equal(bfloat16, fused.Weight.grad!.dtype);
        Close(plain.Weight.grad!, fused.Weight.grad!.to(float32), 2e-2 * plain.Weight.grad!.abs().max().item<float>());
    }

    [Fact]
    public void A_weight_that_the_embedding_shares_gets_both_gradients()
    {
        var tokens = randint(0, Vocabulary, [Rows, Columns]);
        var table = Parameter(randn(Vocabulary, Features));
        var targets = tokens.roll(-1, 1);
        F.cross_entropy(F.linear(Embedded().tanh(), table).flatten(0, 1), targets.flatten()).backward();
        var expected = table.grad!.clone();
        table.grad = null;
        FusedLosses.LinearCrossEntropy(Embedded().tanh(), table, targets, chunkSize: 8).backward();
        Close(expected, table.grad!, 1e-5);

        Tensor Embedded() => table.index_select(0, tokens.flatten()).reshape(Rows, Columns, Features);
    }

    [Fact]
    public void Where_no_token_counts_the_mean_is_nan_and_the_gradients_are_zero()
    {
        var arguments = new Arguments(false, float32);
        var loss = FusedLosses.LinearCrossEntropy(arguments.Hidden, arguments.Weight, full_like(arguments.Targets, -100));
        loss.backward();
        Assert.True(float.IsNaN(loss.item<float>()));
        Assert.Equal(0f, arguments.Weight.grad!.abs().max().item<float>());
        Assert.Equal(0f, arguments.Hidden.grad!.abs().max().item<float>());
    }

    [Fact]
    public void Only_what_needs_a_gradient_gets_one()
    {
        var arguments = new Arguments(false, float32);
        arguments.Weight.requires_grad = false;
        FusedLosses.LinearCrossEntropy(arguments.Hidden, arguments.Weight, arguments.Targets, ignoreIndex: -7).backward();
        Assert.NotNull(arguments.Hidden.grad);
        Assert.Null(arguments.Weight.grad);
        using var noGrad = no_grad();
        Assert.False(FusedLosses.LinearCrossEntropy(arguments.Hidden, arguments.Weight, arguments.Targets, ignoreIndex: -7).requires_grad);
    }

    [Theory]
    [InlineData(Reduction.Mean)]
    [InlineData(Reduction.None)]
    public void Nothing_stays_whether_backward_comes_or_not(Reduction reduction)
    {
        var arguments = new Arguments(true, float32);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Step(backward: true);
        var (tensors, nodes) = (Tensor.TotalCount, AutogradNode.Live);
        for (var step = 0; step < 10; step++) Step(backward: step % 2 == 0);
        Assert.Equal(nodes, AutogradNode.Live);
        Assert.Equal(tensors, Tensor.TotalCount);

        void Step(bool backward)
        {
            using var scope = NewDisposeScope();
            var loss = FusedLosses.LinearCrossEntropy(arguments.Hidden, arguments.Weight, arguments.Targets, arguments.Bias, -7, reduction: reduction, chunkSize: 4);
            if (backward) loss.sum().backward();
        }
    }

    [Fact]
    public void A_second_backward_needs_the_graph()
    {
        var arguments = new Arguments(false, float32);
        var loss = FusedLosses.LinearCrossEntropy(arguments.Hidden, arguments.Weight, arguments.Targets, ignoreIndex: -7);
        autograd.backward([loss], retain_graph: true);
        var once = arguments.Weight.grad!.clone();
        autograd.backward([loss]);
        BackwardErrors.Shared.ThrowPending();
        Close(once * 2, arguments.Weight.grad!, 1e-5);
        autograd.backward([loss]);
        var error = Assert.Throws<InvalidOperationException>(BackwardErrors.Shared.ThrowPending);
        Assert.Contains("twice", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        var (hidden, weight, targets) = (randn(Rows, Columns, Features), randn(Vocabulary, Features), zeros(Rows, Columns, int64));
        Fails("weight", () => FusedLosses.LinearCrossEntropy(hidden, randn(Vocabulary, Features + 1), targets));
        Fails("bias", () => FusedLosses.LinearCrossEntropy(hidden, weight, targets, randn(Features)));
        Fails("targets", () => FusedLosses.LinearCrossEntropy(hidden, weight, targets.t()));
        Fails("targets", () => FusedLosses.LinearCrossEntropy(hidden, weight, targets.to(int32)));
        Fails("Float16", () => FusedLosses.LinearCrossEntropy(hidden, weight.half(), targets));
        Fails("labelSmoothing", () => FusedLosses.LinearCrossEntropy(hidden, weight, targets, labelSmoothing: 1.5));
        Fails("chunkSize", () => FusedLosses.LinearCrossEntropy(hidden, weight, targets, chunkSize: 0));

        static void Fails(string word, Func<object?> call) => Assert.Contains(word, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, 1e-2)]
    [InlineData(ScalarType.Float32, 1e-4)]
    public void On_a_gpu_it_is_the_plain_loss_too(ScalarType dtype, double tolerance)
    {
        Assert.SkipUnless(cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");
        var (hidden, weight) = (randn(300, 64, device: CUDA).to(dtype), randn(1000, 64, device: CUDA).to(dtype));
        var targets = randint(0, 1000, [300], dtype: int64, device: CUDA);
        var (plainHidden, plainWeight) = (Parameter(hidden.to(float64)), Parameter(weight.to(float64)));
        var expected = F.cross_entropy(F.linear(plainHidden, plainWeight), targets);
        expected.backward();
        var (fusedHidden, fusedWeight) = (Parameter(hidden), Parameter(weight));
        var actual = FusedLosses.LinearCrossEntropy(fusedHidden, fusedWeight, targets, chunkSize: 64);
        actual.backward();
        Close(expected, actual.to(float64), tolerance);
        Close(plainHidden.grad!, fusedHidden.grad!.to(float64), tolerance);
        Close(plainWeight.grad!, fusedWeight.grad!.to(float64), tolerance);
    }

    [Theory]
    [InlineData(8192, 32000, 4)]
    [InlineData(8192, 128256, 16)]
    [InlineData(100, 32000, 1)]
    [InlineData(0, 32000, 0)]
    public void Chunks_are_even_and_bounded(long tokens, long vocabulary, int count)
    {
        var chunks = new CrossEntropyOptions(-100, 0, null).Chunks(tokens, vocabulary).ToList();
        Assert.Equal(count, chunks.Count);
        Assert.Equal(tokens, chunks.Sum(chunk => chunk.Length));
        Assert.All(chunks, chunk => Assert.InRange(chunk.Length * vocabulary * 8, 0, (512L << 20) + (128 * vocabulary * 8)));
    }

    private static Tensor Plain(Arguments arguments, Reduction reduction, double smoothing)
    {
        var logits = F.linear(arguments.Hidden, arguments.Weight, arguments.Bias);
        var loss = F.cross_entropy(logits.flatten(0, 1), arguments.Targets.flatten(), null, -7, reduction, smoothing);
        return reduction == Reduction.None ? loss.reshape(Rows, Columns) : loss;
    }

    private static void Close(Tensor expected, Tensor actual, double tolerance)
    {
        Assert.Equal(expected.dtype, actual.dtype);
        var magnitude = Math.Max(1, expected.abs().max().to(float64).item<double>());
        Assert.InRange((expected - actual).abs().max().to(float64).item<double>(), 0, tolerance * magnitude);
    }

    /// <summary>The same numbers at every call.</summary>
    private sealed class Arguments
    {
        public Arguments(bool hasBias, ScalarType dtype, ScalarType? rounded = null)
        {
            using var generator = new Generator(5);
            Hidden = Make(Rows, Columns, Features);
            Weight = Make(Vocabulary, Features);
            Bias = hasBias ? Make(Vocabulary) : null;
            Targets = randint(0, Vocabulary, [Rows, Columns], dtype: int64, generator: generator);
            Targets[0, 2] = -7;
            Targets[2] = -7;
            return;

            Parameter Make(params long[] shape) => Parameter(randn(shape, generator: generator).to(rounded ?? dtype).to(dtype));
        }

        public Parameter Hidden { get; }

        public Parameter Weight { get; }

        public Parameter? Bias { get; }

        public Tensor Targets { get; }
    }
}
