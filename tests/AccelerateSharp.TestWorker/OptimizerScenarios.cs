using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>The fused optimizers under data-parallel and sharded training, against one process beside them.</summary>
internal static class OptimizerScenarios
{
    private const int Rows = 8;

    private static readonly (string Name, Func<IEnumerable<Parameter>, FusedOptimizer> Create, bool AnyShard)[] _optimizers =
    [
        ("FusedAdamW", parameters => new FusedAdamW(parameters, 0.01, weight_decay: 0.1), true),
        ("FusedSGD", parameters => new FusedSGD(parameters, 0.05, momentum: 0.9), true),
        ("Lion", parameters => new Lion(parameters, 0.001), true),
        // Blocks and factors are those of the shard.
        ("AdamW8bit", parameters => new AdamW8bit(parameters, 0.01, minSize: 64), false),
        ("Adafactor", parameters => new Adafactor(parameters, 0.05), false),
    ];

    /// <summary>Arguments: the number of steps, and <c>shard</c> to divide the model.</summary>
    [Scenario]
    public static void OptimizerEquality(WorkerContext context)
    {
        var (steps, shard) = (int.Parse(context.Arguments[0]), context.Arguments.Contains("shard"));
        var accelerator = shard
            ? new Accelerator(cpu: true, fsdpPlugin: new FullyShardedDataParallelPlugin { AutoWrapPolicy = AutoWrapPolicy.NoWrap })
            : new Accelerator(cpu: true, gradientAccumulationSteps: 2);
        foreach (var (name, create, anyShard) in _optimizers)
        {
            if (shard && !anyShard) continue;
            Compare(accelerator, name, create, steps);
        }

        accelerator.EndTraining();
    }

    private static void Compare(Accelerator accelerator, string name, Func<IEnumerable<Parameter>, FusedOptimizer> create, int steps)
    {
        Accelerator.SetSeed(3);
        using var reference = Build();
        Accelerator.SetSeed(3);
        using var made = Build();
        using var plain = create(reference.parameters());
        using var own = create(made.parameters());
        var (model, optimizer) = accelerator.Prepare(made, own);
        Accelerator.SetSeed(11);
        var micro = accelerator.GradientAccumulationSteps;
        for (var step = 0; step < steps; step++)
        {
            using var scope = NewDisposeScope();
            var (inputs, targets) = (randn(Rows, 8), randn(Rows, 1));
            plain.zero_grad();
            var expected = nn.functional.mse_loss(reference.call(inputs), targets);
            expected.backward();
            nn.utils.clip_grad_norm_(reference.parameters(), 0.5);
            plain.step();

            var (sum, rows) = (0f, Rows / accelerator.NumProcesses / micro);
            for (var k = 0; k < micro; k++)
            {
                using var window = accelerator.Accumulate(model);
                var start = ((k * accelerator.NumProcesses) + accelerator.ProcessIndex) * rows;
                var loss = nn.functional.mse_loss(model.call(inputs.narrow(0, start, rows)), targets.narrow(0, start, rows));
                accelerator.Backward(loss);
                sum += accelerator.Reduce(loss, "mean").item<float>() / micro;
                if (accelerator.SyncGradients) accelerator.ClipGradNorm(model.parameters(), 0.5);
                optimizer.step();
                optimizer.zero_grad();
            }

            Expect.Close(expected.item<float>(), sum, 1e-4, $"{name}: loss of step {step}");
        }

        accelerator.FreeMemory();
    }

    private static nn.Module<Tensor, Tensor> Build() => nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 1));
}
