using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Data-parallel training against the same training on one process, which every rank runs beside it.</summary>
internal static class DataParallelScenarios
{
    private const int GlobalBatch = 16;

    [Scenario]
    public static void DataParallelEquality(WorkerContext context)
    {
        var steps = int.Parse(context.Arguments[0]);
        var accelerator = Start(context.Arguments);
        foreach (var (name, build, inputs) in EqualityModels.All)
            Compare(accelerator, name, build, inputs, steps, accumulation: 1);
        accelerator.EndTraining();
    }

    /// <summary>Four micro-batches of a quarter against one whole batch.</summary>
    [Scenario]
    public static void AccumulationEquality(WorkerContext context)
    {
        var steps = int.Parse(context.Arguments[0]);
        var accelerator = Start(context.Arguments, accumulation: 4);
        foreach (var (name, build, inputs) in EqualityModels.All)
            Compare(accelerator, name, build, inputs, steps, accumulation: 4);
        accelerator.EndTraining();
    }

    /// <summary>A thousand steps leave as many live tensors and autograd nodes as ten.</summary>
    [Scenario]
    public static void DataParallelLeavesNothing(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        using var made = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1));
        using var sgd = optim.SGD(made.parameters(), 0.01);
        var (model, optimizer) = accelerator.Prepare(made, sgd);
        Steps(10);
        // What was dropped at the start must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = (Tensor.TotalCount, AutogradNode.Live);
        Steps(1000);
        Expect.Equal(before, (Tensor.TotalCount, AutogradNode.Live), "live tensors and autograd nodes");
        accelerator.EndTraining();

        void Steps(int count)
        {
            for (var step = 0; step < count; step++)
            {
                using var scope = NewDisposeScope();
                optimizer.zero_grad();
                accelerator.Backward(model.call(ones(2, 4)).sum());
                accelerator.ClipGradNorm(model.parameters(), 1);
                optimizer.step();
            }
        }
    }

    /// <summary>Arguments: the number of steps, and <c>gpu</c> to run on GPUs.</summary>
    private static Accelerator Start(string[] args, int accumulation = 1)
    {
        // Half of the bits of a product would hide what is compared here.
        backends.cudnn.allow_tf32 = false;
        return new Accelerator(cpu: !args.Contains("gpu"), gradientAccumulationSteps: accumulation);
    }

    private static void Compare(
        Accelerator accelerator, string name, Func<nn.Module<Tensor, Tensor>> build, Func<int, Tensor> inputs, int steps, int accumulation)
    {
        Accelerator.SetSeed(7);
        using var reference = build().to(accelerator.Device);
        // Another seed on each rank: Prepare has to bring all of them to rank 0's weights.
        Accelerator.SetSeed(7 + (100 * accelerator.ProcessIndex));
        using var model = build();
        using var plain = optim.AdamW(reference.parameters(), lr: 1e-2);
        using var made = optim.AdamW(model.parameters(), lr: 1e-2);
        var (trained, optimizer) = accelerator.Prepare(model, made);
        Accelerator.SetSeed(1234);
        for (var step = 0; step < steps; step++)
        {
            using var scope = NewDisposeScope();
            var batch = inputs(GlobalBatch).to(accelerator.Device);
            var targets = randn(GlobalBatch, 1).to(accelerator.Device);

            plain.zero_grad();
            var expected = Loss(reference, batch, targets);
            expected.backward();

            var shares = TensorShares(accelerator, batch, targets, accumulation);
            var sum = 0f;
            foreach (var (share, shareTargets) in shares)
            {
                using var window = accelerator.Accumulate(trained);
                var loss = Loss(trained, share, shareTargets);
                accelerator.Backward(loss);
                sum += accelerator.Reduce(loss, "mean").item<float>() / accumulation;
                if (step == 0 && accelerator.SyncGradients) CompareGradients(name, reference, trained);
                optimizer.step();
                optimizer.zero_grad();
            }

            plain.step();
            Expect.Close(expected.item<float>(), sum, 1e-4, $"{name}: loss of step {step}");
        }

        accelerator.FreeMemory();
    }

    private static Tensor Loss(nn.Module<Tensor, Tensor> model, Tensor input, Tensor targets)
    {
        var loss = nn.functional.mse_loss(model.call(input), targets);
        return model is EqualityModels.Regularised regularised ? loss + regularised.Penalty() : loss;
    }

    /// <summary>Micro-batch k of rank r, so that the micro-batches of all ranks make up the global batch.</summary>
    private static IEnumerable<(Tensor Inputs, Tensor Targets)> TensorShares(Accelerator accelerator, Tensor batch, Tensor targets, int accumulation)
    {
        var rows = GlobalBatch / accumulation / accelerator.NumProcesses;
        for (var k = 0; k < accumulation; k++)
        {
            var start = ((k * accelerator.NumProcesses) + accelerator.ProcessIndex) * rows;
            yield return (batch.narrow(0, start, rows), targets.narrow(0, start, rows));
        }
    }

    private static void CompareGradients(string name, nn.Module reference, nn.Module trained)
    {
        foreach (var ((parameter, expected), (_, actual)) in reference.named_parameters().Zip(trained.named_parameters()))
        {
            using var expectedGradient = expected.grad;
            using var actualGradient = actual.grad;
            if ((expectedGradient is null) != (actualGradient is null))
                throw new InvalidOperationException($"{name}: {parameter} {(actualGradient is null ? "has no gradient" : "has a gradient that one process has not")}.");
            if (expectedGradient is null) continue;
            var difference = (expectedGradient - actualGradient!).abs().max().item<float>();
            Expect.True(difference < 1e-6, $"{name}: gradient of {parameter} differs by {difference}");
        }
    }
}
