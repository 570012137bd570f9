using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Optimizers;
using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>What MS-AMP's levels store, and what they compute with it, on one process.</summary>
[Collection("process state")]
public sealed class MsAmpTests : IDisposable
{
    private const int Width = 64;

    private readonly DisposeScope _scope = NewDisposeScope();
    private Accelerator? _accelerator;

    public MsAmpTests() => manual_seed(21);

    public void Dispose()
    {
        _accelerator?.EndTraining();
        _scope.Dispose();
    }

    private Accelerator Start(MSAMPOptLevel level, int steps = 1) =>
        _accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.FP8, gradientAccumulationSteps: steps, fp8Recipe: new MSAMPRecipeKwargs { OptLevel = level });

    private static Module<Tensor, Tensor> Build() => Sequential(Linear(Width, Width, hasBias: false), GELU(), Linear(Width, Width, hasBias: false));

    private static long Bytes(IEnumerable<Tensor> tensors) => tensors.Sum(TensorStorage.ByteCount);

    /// <summary>The rows of the table: bytes of one weight, its master weight, its gradient and its two optimizer states.</summary>
    [Theory]
    [InlineData(MSAMPOptLevel.O1, 2, 0, 1, 4, 4)]
    [InlineData(MSAMPOptLevel.O2, 2, 0, 1, 1, 2)]
    [InlineData(MSAMPOptLevel.O3, 1, 2, 1, 1, 2)]
    public void Every_level_stores_exactly_the_bytes_of_its_row(MSAMPOptLevel level, int weight, int master, int gradient, int first, int second)
    {
        var accelerator = Start(level);
        var made = Build();
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
        for (var step = 0; step < 2; step++)
        {
            optimizer.zero_grad();
            accelerator.Backward(model.call(randn(8, Width)).pow(2).mean());
            optimizer.step();
        }

        var parameters = model.parameters().ToList();
        var count = parameters.Sum(parameter => parameter.numel());
        Assert.Equal(2 * Width * Width, count);
        Assert.Equal(count * weight, Bytes(parameters));
        Assert.Equal(count * gradient, Bytes(parameters.Select(parameter => parameter.grad!)));
        Assert.All(parameters, parameter => Assert.Equal(Float8Kinds.E4M3, parameter.grad!.dtype));
        Assert.Equal(count * first, Bytes(parameters.Select(parameter => optimizer.StateOf(parameter)[AdamKernel.Average])));
        Assert.Equal(count * second, Bytes(parameters.Select(parameter => optimizer.StateOf(parameter)[AdamKernel.SquareAverage])));
        // A step count, and for each state in 8 or 16 bits its scale.
        Assert.Equal(2 * (level == MSAMPOptLevel.O1 ? 4 : 12), Bytes(parameters.SelectMany(parameter => optimizer.StateOf(parameter).Values)) - (count * (first + second)));
        var masters = parameters.Select(parameter => MsAmpWeight.TryFind(parameter, out var stored) ? stored.Master : null).OfType<Tensor>().ToList();
        Assert.Equal(count * master, Bytes(masters));
        Assert.All(masters, tensor => Assert.Equal(float16, tensor.dtype));
        Assert.All(parameters, parameter => Assert.Equal(level == MSAMPOptLevel.O3 ? Float8Kinds.E4M3 : float16, parameter.dtype));
    }

    [Theory]
    [InlineData(MSAMPOptLevel.O1, true)]
    [InlineData(MSAMPOptLevel.O2, true)]
    [InlineData(MSAMPOptLevel.O3, true)]
    [InlineData(MSAMPOptLevel.O2, false)]
    public void Steps_are_Adams_on_the_gradients_that_float8_left(MSAMPOptLevel level, bool decoupled)
    {
        var accelerator = Start(level);
        var made = Linear(Width, 32, hasBias: false);
        var exact = made.weight!.detach().to(float16).to(float64);
        FusedOptimizer optimizer = decoupled ? new FusedAdamW(made.parameters(), 1e-2, weight_decay: 0.1) : new FusedAdam(made.parameters(), 1e-2, weight_decay: 0.1);
        (var layer, optimizer) = accelerator.Prepare(made, optimizer);
        Assert.True(MsAmpWeight.TryFind(layer.weight!, out var stored));
        var (average, square) = (zeros_like(exact), zeros_like(exact));
        for (var step = 1; step <= 4; step++)
        {
            optimizer.zero_grad();
            accelerator.Backward((layer.call(randn(16, Width)) * randn(16, 32)).sum());
            var gradient = stored.Gradient().to(float64);
            if (decoupled) exact.mul_(1 - (1e-2 * 0.1));
            else gradient = gradient + (0.1 * exact);
            average = (0.9 * average) + (0.1 * gradient);
            square = (0.999 * square) + (0.001 * gradient * gradient);
            exact.sub_(1e-2 * (average / (1 - Math.Pow(0.9, step))) / ((square / (1 - Math.Pow(0.999, step))).sqrt() + 1e-8));
            optimizer.step();
        }

        var now = (stored.Master ?? layer.weight!).to(float64);
        // Half a step of float16, and in O2 and O3 what the first moment loses in 3 bits of mantissa, a few percent of a step.
        var tolerance = level == MSAMPOptLevel.O1 ? 4e-4 : 4e-3;
        Assert.InRange((now - exact).abs().max().item<double>(), 0, tolerance);
        if (level == MSAMPOptLevel.O3)
            Assert.InRange((Float8Quantizer.Dequantize(layer.weight!, stored.Inverse!).to(float64) - now).abs().max().item<double>(), 0, now.abs().max().item<double>() / 16);
    }

    [Fact]
    public void Windows_clipping_and_dropped_gradients_work_in_float8()
    {
        var accelerator = Start(MSAMPOptLevel.O2, steps: 2);
        var made = Linear(Width, Width);
        var (layer, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 0));
        var (a, b) = (randn(8, Width), randn(8, Width));
        Tensor Gradient(Tensor x) => ones(8, Width).t().matmul(x);

        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(a).sum());
        Assert.Null(layer.weight!.grad);
        optimizer.step();
        optimizer.zero_grad();
        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(b).sum());
        Assert.True(MsAmpWeight.TryFind(layer.weight, out var stored));
        var expected = (Gradient(a) + Gradient(b)) / 2;
        Assert.InRange(((stored.Gradient() - expected).norm() / expected.norm()).item<float>(), 0, 0.08);

        // The codes stay, their scale shrinks; the bias is clipped by the same coefficient.
        var (codes, bias) = (layer.weight.grad!.to(float32), layer.bias!.grad!.clone());
        var total = (stored.Gradient().pow(2).sum() + bias.pow(2).sum()).sqrt().item<float>();
        var norm = accelerator.ClipGradNorm(layer.parameters(), 1);
        Assert.Equal(total, norm.item<float>(), total * 1e-4f);
        Assert.True(codes.equal(layer.weight.grad!.to(float32)).all().item<bool>());
        Assert.Equal(1f, (stored.Gradient().pow(2).sum() + layer.bias.grad!.pow(2).sum()).sqrt().item<float>(), 1e-3f);
        Assert.Throws<NotSupportedException>(() => accelerator.ClipGradValue(layer.parameters(), 1));

        optimizer.zero_grad();
        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(a).sum());
        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(a).sum());
        Assert.InRange(((stored.Gradient() - Gradient(a)).norm() / Gradient(a).norm()).item<float>(), 0, 0.08);
        // A second backward without zero_grad adds.
        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(a).sum());
        using (accelerator.Accumulate(layer)) accelerator.Backward(layer.call(a).sum());
        Assert.InRange(((stored.Gradient() - (2 * Gradient(a))).norm() / (2 * Gradient(a)).norm()).item<float>(), 0, 0.08);
    }

    [Fact]
    public void An_optimizer_that_cannot_read_float8_is_refused_with_the_one_that_can()
    {
        var accelerator = Start(MSAMPOptLevel.O1);
        var model = Build();
        var error = Assert.Throws<NotSupportedException>(() => accelerator.Prepare(model, optim.AdamW(model.parameters())));
        Assert.Contains("FusedAdamW", error.Message, StringComparison.Ordinal);
        var amsgrad = accelerator.Prepare(new FusedAdamW(model.parameters(), amsgrad: true));
        accelerator.Backward(model.call(randn(2, Width)).sum());
        Assert.Throws<NotSupportedException>(() => amsgrad.step());
    }

    [Fact]
    public void Weights_of_O3_are_saved_and_loaded_as_float16_and_given_back_as_such()
    {
        var accelerator = Start(MSAMPOptLevel.O3);
        var made = Sequential(("a", Linear(Width, Width)), ("b", Linear(Width, Width)));
        var original = made.state_dict().ToDictionary(item => item.Key, item => item.Value.detach().clone());
        var model = accelerator.Prepare(made);
        Assert.Equal(Float8Kinds.E4M3, ((Linear)model[0]).weight!.dtype);
        var x = randn(4, Width);
        var before = model.call(x).detach();
        model.eval();
        Assert.Equal(before.data<float>().ToArray(), model.call(x).detach().data<float>().ToArray());
        var saved = accelerator.GetStateDict(model).ToDictionary(item => item.Key, item => item.Value.detach().clone());
        Assert.Equal(float16, saved["a.weight"].dtype);
        Assert.InRange((saved["a.weight"].to(float32) - original["a.weight"]).abs().max().item<float>(), 0, 1e-4);
        foreach (var parameter in original.Values) parameter.zero_();
        accelerator.LoadStateDict(model, original);
        Assert.Equal(0f, model.call(x).abs().max().item<float>());
        accelerator.LoadStateDict(model, saved);
        Assert.Equal(before.data<float>().ToArray(), model.call(x).detach().data<float>().ToArray());
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var file = Path.Combine(folder.FullName, "model.safetensors");
            SafetensorsCheckpoint.SaveFile(saved, file);
            accelerator.LoadStateDict(model, original);
            accelerator.LoadCheckpoint(model, file);
            Assert.Equal(before.data<float>().ToArray(), model.call(x).detach().data<float>().ToArray());
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        accelerator.FreeMemory();
        Assert.Equal(float16, ((Linear)model[0]).weight!.dtype);
        Assert.True(((Linear)model[0]).weight!.equal(saved["a.weight"]).all().item<bool>());
    }

    [Fact]
    public void Optimizer_states_in_float8_survive_a_file()
    {
        var accelerator = Start(MSAMPOptLevel.O2);
        var made = Linear(Width, Width, hasBias: false);
        var (layer, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
        accelerator.Backward(layer.call(randn(8, Width)).pow(2).sum());
        optimizer.step();
        var before = optimizer.StateOf(layer.weight!).ToDictionary(item => item.Key, item => item.Value.to(float32).data<float>().ToArray());
        using var state = new ParameterState(layer.weight!);
        state.Load(optimizer.StateOf(layer.weight!));
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, System.Text.Encoding.UTF8, leaveOpen: true)) state.SaveStateDict(writer);
        stream.Position = 0;
        using var loaded = new ParameterState(layer.weight!);
        using (var reader = new BinaryReader(stream)) loaded.LoadStateDict(reader);
        Assert.Equal(Float8Kinds.E4M3, loaded[AdamKernel.Average].dtype);
        foreach (var (name, values) in before) Assert.Equal(values, loaded[name].to(float32).data<float>().ToArray());
    }

    [Fact]
    public void A_weight_that_two_modules_share_keeps_its_dtype()
    {
        var accelerator = Start(MSAMPOptLevel.O1);
        var (embedding, head) = (Embedding(32, Width), Linear(Width, 32, hasBias: false));
        head.weight = embedding.weight!;
        accelerator.Prepare(Sequential(("embedding", embedding), ("body", Linear(Width, Width)), ("head", head)));
        Assert.Equal(float32, head.weight!.dtype);
    }
}
