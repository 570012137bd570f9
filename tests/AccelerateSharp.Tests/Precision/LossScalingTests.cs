using AccelerateSharp.Tests.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Tests.Precision;

/// <summary>fp16 training through the accelerator, with TorchSharp's own optimizers.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class LossScalingTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly List<Accelerator> _accelerators = [];

    public void Dispose()
    {
        foreach (var accelerator in _accelerators) accelerator.EndTraining();
        _scope.Dispose();
    }

    public static TheoryData<string> Optimizers => [.. _optimizers.Keys];

    private static readonly Dictionary<string, Func<IEnumerable<Parameter>, Optimizer>> _optimizers = new()
    {
        ["SGD"] = p => optim.SGD(p, 0.1, momentum: 0.9, weight_decay: 0.1),
        ["Adam"] = p => optim.Adam(p, 0.1, weight_decay: 0.1),
        ["AdamW"] = p => optim.AdamW(p, 0.1, weight_decay: 0.1),
        ["Adamax"] = p => optim.Adamax(p, 0.1, weight_decay: 0.1),
        ["NAdam"] = p => optim.NAdam(p, 0.1, weight_decay: 0.1),
        ["RAdam"] = p => optim.RAdam(p, 0.1, weight_decay: 0.1),
        ["Adagrad"] = p => optim.Adagrad(p, 0.1, weight_decay: 0.1),
        ["Adadelta"] = p => optim.Adadelta(p, 0.1, weight_decay: 0.1),
        ["RMSProp"] = p => optim.RMSProp(p, 0.1, momentum: 0.9, weight_decay: 0.1),
        ["Rprop"] = p => optim.Rprop(p, 0.1),
        ["ASGD"] = p => optim.ASGD(p, 0.1, weight_decay: 0.1),
    };

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void An_overflow_skips_exactly_its_step(string name)
    {
        // The same batches with and without the one that overflows: the same weights, so that step left no trace.
        var (withOverflow, skipped) = Train(overflowAt: 2);
        var (without, _) = Train(overflowAt: null);
        Assert.Equal([2], skipped);
        Assert.True(withOverflow.equal(without).all().item<bool>());

        (Tensor Weight, List<int> Skipped) Train(int? overflowAt)
        {
            // Scales are powers of two, so that halving one after the overflow changes no bit of a gradient.
            var accelerator = Create();
            manual_seed(3);
            using var made = nn.Linear(4, 1);
            var (model, optimizer) = accelerator.Prepare(made, _optimizers[name](made.parameters()));
            var skippedSteps = new List<int>();
            for (var step = 0; step < 5; step++)
            {
                if (step == 2 && overflowAt is null) continue;
                manual_seed(100 + step);
                optimizer.zero_grad();
                accelerator.Backward(Loss(model, step == overflowAt));
                optimizer.step();
                if (accelerator.OptimizerStepWasSkipped) skippedSteps.Add(step);
            }

            return (model.weight!.detach().clone(), skippedSteps);
        }
    }

    [Fact]
    public void Gradients_are_unscaled_when_backward_ends()
    {
        var accelerator = Create(options: new() { InitScale = 1024 });
        using var made = nn.Linear(4, 1);
        var (model, optimizer) = accelerator.Prepare(made, optim.SGD(made.parameters(), 0.1));
        var x = randn(8, 4);
        accelerator.Backward(model.call(x).sum());
        Assert.True(model.bias!.grad!.allclose(tensor([8f])));
        accelerator.UnscaleGradients(optimizer);
        using var norm = accelerator.ClipGradNorm([model.bias], 1);
        Assert.Equal(8, norm.item<float>(), 3);
        Assert.Equal(1, model.bias.grad!.item<float>(), 3);
        Assert.Equal(1024, accelerator.Scaler!.Scale);
    }

    [Fact]
    public void A_second_backward_adds_to_what_the_first_left()
    {
        var accelerator = Create();
        using var made = nn.Linear(4, 1);
        var (model, _) = accelerator.Prepare(made, optim.SGD(made.parameters(), 0.1));
        accelerator.Backward(model.call(ones(8, 4)).sum());
        accelerator.Backward(model.call(ones(4, 4)).sum());
        Assert.Equal(12, model.bias!.grad!.item<float>(), 3);
    }

    [Fact]
    public void Small_gradients_survive_that_fp16_alone_would_lose()
    {
        Assert.Equal(0, Gradient(new() { Enabled = false }));
        Assert.Equal(1e-8, Gradient(new()), 1e-10);

        double Gradient(GradScalerKwargs options)
        {
            var accelerator = Create(options: options);
            Assert.Equal(options.Enabled, accelerator.Scaler is not null);
            using var made = nn.Linear(1, 1, hasBias: false);
            var model = accelerator.Prepare(made);
            accelerator.Backward(model.call(ones(1, 1)).sum() * 1e-8);
            return model.weight!.grad!.item<float>();
        }
    }

    [Fact]
    public void Accumulated_gradients_are_unscaled_once_and_an_overflow_drops_the_window()
    {
        var accelerator = Create(steps: 2);
        using var made = nn.Linear(4, 1);
        var (model, optimizer) = accelerator.Prepare(made, optim.SGD(made.parameters(), 1));
        var start = model.bias!.item<float>();
        Window(overflow: false);
        Assert.Equal(start - 4, model.bias.item<float>(), 4);
        Window(overflow: true);
        Assert.True(accelerator.OptimizerStepWasSkipped);
        Assert.Equal(start - 4, model.bias.item<float>(), 4);
        Window(overflow: false);
        Assert.False(accelerator.OptimizerStepWasSkipped);
        Assert.Equal(start - 8, model.bias.item<float>(), 4);

        void Window(bool overflow)
        {
            for (var i = 0; i < 2; i++)
            {
                using var window = accelerator.Accumulate(model);
                accelerator.Backward(model.call(ones(4, 4)).sum() * (overflow && i == 0 ? float.PositiveInfinity : 1));
                optimizer.step();
                optimizer.zero_grad();
            }
        }
    }

    [Fact]
    public void Each_optimizer_and_its_scheduler_skip_for_themselves()
    {
        var accelerator = Create();
        using var firstMade = nn.Linear(1, 1);
        using var secondMade = nn.Linear(1, 1);
        var (first, firstOptimizer) = accelerator.Prepare(firstMade, optim.SGD(firstMade.parameters(), 1));
        var (second, secondOptimizer) = accelerator.Prepare(secondMade, optim.SGD(secondMade.parameters(), 1));
        var firstScheduler = accelerator.Prepare(optim.lr_scheduler.StepLR(firstOptimizer, 1, 0.5));
        var secondScheduler = accelerator.Prepare(optim.lr_scheduler.StepLR(secondOptimizer, 1, 0.5));
        var (a, b) = (first.bias!.item<float>(), second.bias!.item<float>());
        accelerator.Backward((first.call(ones(1, 1)) * float.PositiveInfinity).sum() + second.call(ones(1, 1)).sum());
        firstOptimizer.step();
        secondOptimizer.step();
        firstScheduler.step();
        secondScheduler.step();
        Assert.True(accelerator.OptimizerStepWasSkipped);
        Assert.Equal((a, b - 1), (first.bias.item<float>(), second.bias.item<float>()));
        Assert.Equal((1, 0.5), (firstScheduler.get_last_lr().First(), secondScheduler.get_last_lr().First()));
    }

    [Fact]
    public void An_optimizer_that_was_not_prepared_is_safe_too()
    {
        var accelerator = Create();
        using var made = nn.Linear(1, 1);
        var model = accelerator.Prepare(made);
        using var sgd = optim.SGD(model.parameters(), 1);
        var start = model.bias!.item<float>();
        accelerator.Backward(model.call(ones(1, 1)).sum() * float.NaN);
        sgd.step();
        Assert.Equal(start, model.bias.item<float>());
        accelerator.Backward(model.call(ones(1, 1)).sum());
        sgd.step();
        Assert.Equal(start - 1, model.bias.item<float>());
    }

    [Fact]
    public void What_cannot_be_scaled_is_refused()
    {
        var accelerator = Create();
        using var half = nn.Linear(1, 1, dtype: float16);
        var model = accelerator.Prepare(half);
        Assert.Contains("float32", Assert.Throws<InvalidOperationException>(() => accelerator.Backward(model.call(ones(1, 1)).sum())).Message, StringComparison.Ordinal);
        using var made = nn.Linear(1, 1);
        using var lbfgs = optim.LBFGS(made.parameters());
        Assert.Throws<NotSupportedException>(() => accelerator.Prepare(lbfgs));
        Assert.Throws<ArgumentOutOfRangeException>(() => Create(options: new() { InitScale = -1 }));
    }

    [Fact]
    public void Only_fp16_has_a_scaler() => Assert.Null(new Accelerator(cpu: true, mixedPrecision: MixedPrecision.BF16).Scaler);

    [Fact]
    public void Many_steps_leave_nothing_behind()
    {
        var accelerator = Create();
        using var made = nn.Linear(4, 1);
        var (model, optimizer) = accelerator.Prepare(made, optim.AdamW(made.parameters(), 0.1));
        Steps(3);
        var before = LiveTensors();
        Steps(50);
        Assert.Equal(before, LiveTensors());

        void Steps(int count)
        {
            for (var step = 0; step < count; step++)
            {
                using var scope = NewDisposeScope();
                optimizer.zero_grad();
                accelerator.Backward(Loss(model, overflow: step % 10 == 9));
                accelerator.ClipGradNorm(model.parameters(), 1);
                optimizer.step();
            }
        }
    }

    /// <summary>After letting go of what other tests dropped, which would otherwise be collected at some moment in between.</summary>
    private static long LiveTensors()
    {
        // A finalizer may be what lets the next object go.
        long before;
        do
        {
            before = Tensor.TotalCount;
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        while (Tensor.TotalCount != before);
        return before;
    }

    private static Tensor Loss(Linear model, bool overflow)
    {
        var loss = model.call(randn(8, 4)).pow(2).mean();
        return overflow ? loss * float.PositiveInfinity : loss;
    }

    private Accelerator Create(int steps = 1, GradScalerKwargs? options = null)
    {
        // The usual 65536 overflows in the first step, a gradient of one is past float16 then; these tests choose their overflows.
        options ??= new() { InitScale = 1024 };
        var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.FP16, gradientAccumulationSteps: steps, gradScaler: options);
        _accelerators.Add(accelerator);
        return accelerator;
    }
}
