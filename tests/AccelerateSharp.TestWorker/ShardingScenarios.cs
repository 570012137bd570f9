using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.TestWorker;

/// <summary>Sharded training against the same training on one process, which every rank runs beside it.</summary>
internal static class ShardingScenarios
{
    /// <summary>What gradients are clipped to.</summary>
    public const double MaxNorm = 0.5;

    private const int GlobalBatch = 16;

    /// <summary>Arguments: see <see cref="ShardingCase"/>.</summary>
    [Scenario]
    public static void ShardingEquality(WorkerContext context)
    {
        foreach (var test in context.Arguments.Select(ShardingCase.Parse)) Run(test);
    }

    private static void Run(ShardingCase test)
    {
        var accelerator = test.CreateAccelerator();
        var models = (test.Everything || test.Models is not null ? ShardingModels.All : ShardingModels.All.Take(3))
            .Where(model => test.Models is null || model.Name.StartsWith(test.Models, StringComparison.Ordinal)).ToList();
        Expect.True(models.Count > 0, $"a model named {test.Models}");
        foreach (var (name, build, inputs) in models) Compare(accelerator, test, name, build, inputs);
        accelerator.FreeMemory();
    }

    private static void Compare(Accelerator accelerator, ShardingCase test, string name, Func<Module<Tensor, Tensor>> build, Func<int, Tensor> inputs)
    {
        Accelerator.SetSeed(7);
        using var reference = build().to(accelerator.Device);
        // Another seed on each rank: Prepare has to bring all of them to rank 0's weights.
        Accelerator.SetSeed(7 + (100 * accelerator.ProcessIndex));
        using var model = build();
        using var plain = optim.AdamW(reference.parameters(), lr: 1e-2);
        var before = test.OptimizerFirst ? Optimizer(model) : null;
        var trained = accelerator.Prepare(model);
        using var made = before ?? Optimizer(trained);
        var optimizer = accelerator.Prepare(made);
        Accelerator.SetSeed(1234);
        for (var step = 0; step < test.Steps; step++)
        {
            using var scope = NewDisposeScope();
            var batch = inputs(GlobalBatch).to(accelerator.Device);
            var targets = randn(GlobalBatch, 1).to(accelerator.Device);
            plain.zero_grad();
            var expected = test.Precise(accelerator.Device, () => functional.mse_loss(reference.call(batch).to(ScalarType.Float32), targets));
            expected.backward();
            var norm = test.Clip ? nn.utils.clip_grad_norm_(reference.parameters(), MaxNorm) : 0;

            var sum = 0f;
            foreach (var (share, shareTargets) in Shares(accelerator, batch, targets, test.Accumulation))
            {
                using var window = accelerator.Accumulate(trained);
                var loss = functional.mse_loss(trained.call(share).to(ScalarType.Float32), shareTargets);
                accelerator.Backward(loss);
                sum += accelerator.Reduce(loss, "mean").item<float>() / test.Accumulation;
                if (test.Clip && accelerator.SyncGradients) Expect.Close(norm, accelerator.ClipGradNorm(trained.parameters(), MaxNorm).item<float>(), 10 * test.Tolerance, $"{test}, {name}: norm of step {step}");
                optimizer.step();
                optimizer.zero_grad();
            }

            plain.step();
            Expect.Close(expected.item<float>(), sum, test.Tolerance, $"{test}, {name}: loss of step {step}");
        }

        CompareWeights(accelerator, test, name, reference, trained);

        accelerator.FreeMemory();

        optim.Optimizer Optimizer(Module trains) => test.Fused ? new FusedAdamW(trains.parameters(), lr: 1e-2) : optim.AdamW(trains.parameters(), lr: 1e-2);
    }

    /// <summary>Adam divides by small numbers: where gradients are near zero, their rounding moves a weight by a share of the learning rate.</summary>
    private static void CompareWeights(Accelerator accelerator, ShardingCase test, string name, Module reference, Module trained)
    {
        using var scope = NewDisposeScope();
        var expected = reference.state_dict();
        foreach (var (key, value) in accelerator.GetStateDict(trained))
        {
            var difference = (value.to(ScalarType.Float32) - expected[key].to(CPU)).abs().mean().item<float>();
            Expect.True(difference <= Math.Max(1e-4, test.Tolerance), $"{test}, {name}: {key} differs by {difference} on average after {test.Steps} steps");
        }
    }

    /// <summary>Micro-batch k of rank r, so that the micro-batches of all ranks make up the global batch.</summary>
    private static IEnumerable<(Tensor Inputs, Tensor Targets)> Shares(Accelerator accelerator, Tensor batch, Tensor targets, int accumulation)
    {
        var rows = GlobalBatch / accumulation / accelerator.NumProcesses;
        for (var k = 0; k < accumulation; k++)
        {
            var start = ((k * accelerator.NumProcesses) + accelerator.ProcessIndex) * rows;
            yield return (batch.narrow(0, start, rows), targets.narrow(0, start, rows));
        }
    }
}
