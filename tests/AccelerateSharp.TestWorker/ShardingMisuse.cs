using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.TestWorker;

/// <summary>What programs do wrong, or out of order, with a sharded model: it works, or the error says what to do.</summary>
internal static class ShardingMisuse
{
    private const int Width = 16;

    [Scenario]
    public static void ShardingMisuses(WorkerContext context)
    {
        EnteredThroughForward();
        ThrowsInForward();
        EvaluatesAndGeneratesBetweenSteps();
        RunsBackwardAlone();
        UsesAParameterOutside();
        ReplacesAParameter();
        UnfreezesAParameter();
        ServesTwoForwardsByOneBackward();
        TakesNoWindowApart();
        new Accelerator(cpu: true).EndTraining();
    }

    /// <summary>One rank leaves a block out: both are told which.</summary>
    [Scenario]
    public static void ShardingSkippedUnit(WorkerContext context)
    {
        var accelerator = Start();
        var model = accelerator.Prepare(new Skipping(context.Rank == 1));
        var message = Expect.Throws<CollectiveMismatchException>(() => model.call(randn(2, Width)));
        Console.WriteLine(message);
        Expect.True(message.Contains("'_blocks.1' (Block)", StringComparison.Ordinal) && message.Contains("'_blocks.2' (Block)", StringComparison.Ordinal) && message.Contains("only some ranks skip", StringComparison.Ordinal), message);
    }

    private static Accelerator Start(ShardingStrategy strategy = ShardingStrategy.FullShard) =>
        new(cpu: true, fsdpPlugin: new FullyShardedDataParallelPlugin { ShardingStrategy = strategy, WrapWhere = ShardingModels.IsUnit });

    private static (Accelerator Accelerator, ShardingModels.Stack Model, AdamW Optimizer) Train(ShardingStrategy strategy = ShardingStrategy.FullShard)
    {
        Accelerator.SetSeed(3);
        var accelerator = Start(strategy);
        var model = accelerator.Prepare(new ShardingModels.Stack(3));
        return (accelerator, model, accelerator.Prepare(optim.AdamW(model.parameters(), lr: 1e-2)));
    }

    private static float Step(Accelerator accelerator, Module<Tensor, Tensor> model, optim.Optimizer optimizer, int seed)
    {
        using var scope = NewDisposeScope();
        Accelerator.SetSeed(seed);
        var loss = model.call(randn(4, Width)).pow(2).mean();
        accelerator.Backward(loss);
        optimizer.step();
        optimizer.zero_grad();
        return loss.item<float>();
    }

    /// <summary>What five undisturbed steps give, to compare with.</summary>
    private static float[] Undisturbed(ShardingStrategy strategy = ShardingStrategy.FullShard)
    {
        var (accelerator, model, optimizer) = Train(strategy);
        float[] losses = [.. Enumerable.Range(0, 5).Select(step => Step(accelerator, model, optimizer, step))];
        accelerator.FreeMemory();
        return losses;
    }

    private static void EnteredThroughForward()
    {
        var (accelerator, model, _) = Train();
        var message = Expect.Throws<InvalidOperationException>(() => model.forward(randn(2, Width)));
        Expect.True(message.Contains("call()", StringComparison.Ordinal) && message.Contains("forward", StringComparison.Ordinal), message);
        accelerator.FreeMemory();
        var inside = Start();
        var entering = inside.Prepare(new EnteringThroughForward());
        message = Expect.Throws<InvalidOperationException>(() => entering.call(randn(2, Width)));
        Expect.True(message.Contains("'_block' (Block)", StringComparison.Ordinal) && message.Contains("call()", StringComparison.Ordinal), message);
        inside.FreeMemory();
    }

    private static void ThrowsInForward()
    {
        var expected = Undisturbed();
        var (accelerator, model, optimizer) = Train();
        for (var step = 0; step < 5; step++)
        {
            // A batch of the wrong width: libtorch throws inside of the first block.
            if (step is 2 or 3) Expect.Throws<System.Runtime.InteropServices.ExternalException>(() => model.call(randn(4, Width + 1)));
            Expect.True(model.parameters().All(parameter => parameter.dim() == 1), "after an exception every parameter is this rank's part");
            Expect.Equal(expected[step], Step(accelerator, model, optimizer, step), $"loss of step {step} after an exception");
        }

        accelerator.FreeMemory();
    }

    private static void EvaluatesAndGeneratesBetweenSteps()
    {
        foreach (var strategy in (ShardingStrategy[])[ShardingStrategy.FullShard, ShardingStrategy.ShardGradOp])
        {
            var expected = Undisturbed(strategy);
            var (accelerator, model, optimizer) = Train(strategy);
            for (var step = 0; step < 5; step++)
            {
                Expect.Equal(expected[step], Step(accelerator, model, optimizer, step), $"{strategy}: loss of step {step} between evaluations");
                using var scope = NewDisposeScope();
                using var noGrad = no_grad();
                model.eval();
                var token = ones(1, Width);
                for (var i = 0; i < 4; i++) token = ones(1, Width) * model.call(token);
                model.train();
                Expect.Equal(0L, accelerator.EngineOf(model)!.GatheredBytes, $"{strategy}: bytes of whole parameters after an evaluation");
            }

            // An evaluation between a forward and its backward.
            using (NewDisposeScope())
            {
                var loss = model.call(ones(2, Width)).sum();
                using (no_grad()) model.call(ones(2, Width));
                accelerator.Backward(loss);
                Expect.True(model.parameters().All(parameter => parameter.grad is null || parameter.grad.isfinite().all().item<bool>()), "finite gradients");
            }

            accelerator.FreeMemory();
        }
    }

    private static void RunsBackwardAlone()
    {
        var (accelerator, model, _) = Train();
        model.call(randn(2, Width)).sum().backward();
        var message = Expect.Throws<InvalidOperationException>(() => model.call(randn(2, Width)));
        Expect.True(message.Contains("accelerator.Backward(loss)", StringComparison.Ordinal), message);
        accelerator.FreeMemory();
    }

    private static void UsesAParameterOutside()
    {
        var (accelerator, model, _) = Train();
        var loss = model.call(randn(2, Width)).sum() + (model.parameters().First(parameter => parameter.numel() > 0).pow(2).sum() * 0.1);
        var message = Expect.Throws<InvalidOperationException>(() => accelerator.Backward(loss));
        Expect.True(message.Contains("outside of the model's forward", StringComparison.Ordinal), message);
        accelerator.FreeMemory();
    }

    private static void ReplacesAParameter()
    {
        var accelerator = Start();
        var model = accelerator.Prepare(new Replacing());
        model.Replace();
        var message = Expect.Throws<InvalidOperationException>(() => model.call(randn(2, Width)));
        Expect.True(message.Contains("was replaced after Accelerator.Prepare", StringComparison.Ordinal), message);
        accelerator.FreeMemory();
    }

    private static void UnfreezesAParameter()
    {
        var accelerator = Start();
        var stack = new ShardingModels.Stack(2, adapters: true);
        var frozen = stack.parameters().First(parameter => !parameter.requires_grad);
        var model = accelerator.Prepare(stack);
        frozen.requires_grad = true;
        var message = Expect.Throws<InvalidOperationException>(() => model.call(randn(2, Width)));
        Expect.True(message.Contains("was frozen when", StringComparison.Ordinal), message);
        accelerator.FreeMemory();
    }

    /// <summary>Two forwards and one backward give the sum of the two gradients.</summary>
    private static void ServesTwoForwardsByOneBackward()
    {
        foreach (var strategy in (ShardingStrategy[])[ShardingStrategy.FullShard, ShardingStrategy.ShardGradOp])
        {
            var (accelerator, model, _) = Train(strategy);
            Tensor first = ones(2, Width), second = ones(2, Width) * 0.5;
            accelerator.Backward(model.call(first).pow(2).mean());
            accelerator.Backward(model.call(second).pow(2).mean());
            var expected = Gradients(model);
            foreach (var parameter in model.parameters()) parameter.grad = null;
            accelerator.Backward(model.call(first).pow(2).mean() + model.call(second).pow(2).mean());
            foreach (var (one, two) in expected.Zip(Gradients(model))) Expect.True(one.allclose(two), $"{strategy}: gradients of two forwards");
            // And two backwards after two forwards.
            foreach (var parameter in model.parameters()) parameter.grad = null;
            var (left, right) = (model.call(first).pow(2).mean(), model.call(second).pow(2).mean());
            accelerator.Backward(left);
            accelerator.Backward(right);
            foreach (var (one, two) in expected.Zip(Gradients(model))) Expect.True(one.allclose(two), $"{strategy}: gradients of two backwards");
            accelerator.FreeMemory();
        }
    }

    /// <summary>NoSync: gradients stay on their rank until the next synchronised backward, and nobody sees them before.</summary>
    private static void TakesNoWindowApart()
    {
        var (accelerator, model, _) = Train();
        var input = randn(2, Width);
        accelerator.Backward(model.call(input).pow(2).mean() * 2);
        var expected = Gradients(model);
        foreach (var parameter in model.parameters()) parameter.grad = null;
        using (accelerator.NoSync(model)) accelerator.Backward(model.call(input).pow(2).mean());
        Expect.True(Gradients(model).Count == 0, "no gradient is to be seen inside of NoSync");
        accelerator.Backward(model.call(input).pow(2).mean());
        foreach (var (one, two) in expected.Zip(Gradients(model))) Expect.True(one.allclose(two), "gradients after NoSync");
        accelerator.FreeMemory();
    }

    private static List<Tensor> Gradients(nn.Module model) => [.. model.parameters().Select(parameter => parameter.grad?.clone()).OfType<Tensor>()];

    private sealed class EnteringThroughForward : Module<Tensor, Tensor>
    {
        private readonly ShardingModels.Block _block = new(adapter: false);

        public EnteringThroughForward()
            : base(nameof(EnteringThroughForward)) => RegisterComponents();

        public override Tensor forward(Tensor input) => _block.forward(input);
    }

    private sealed class Skipping : Module<Tensor, Tensor>
    {
        private readonly ModuleList<ShardingModels.Block> _blocks = new([.. Enumerable.Range(0, 3).Select(_ => new ShardingModels.Block(adapter: false))]);
        private readonly bool _skips;

        public Skipping(bool skips)
            : base(nameof(Skipping))
        {
            _skips = skips;
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            for (var i = 0; i < _blocks.Count; i++)
                if (i != 1 || !_skips) input = _blocks[i].call(input);
            return input;
        }
    }

    private sealed class Replacing : Module<Tensor, Tensor>
    {
        private readonly Linear _head = Linear(Width, 1);

        public Replacing()
            : base(nameof(Replacing)) => RegisterComponents();

        public void Replace() => _head.weight = new Parameter(zeros(2, Width));

        public override Tensor forward(Tensor input) => _head.call(input);
    }
}
