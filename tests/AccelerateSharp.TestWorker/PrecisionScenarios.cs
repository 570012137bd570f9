using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Mixed precision on several ranks.</summary>
internal static class PrecisionScenarios
{
    private const int Steps = 8;
    private const int GlobalBatch = 16;

    /// <summary>
    /// Training under autocast, with accumulation and clipping, against the same on one process. Arguments: the precision, and
    /// <c>gpu</c> to run on GPUs.
    /// </summary>
    [Scenario]
    public static void MixedPrecisionEquality(WorkerContext context)
    {
        var precision = Enum.Parse<MixedPrecision>(context.Arguments[0]);
        var accelerator = Start(context, precision, accumulation: 2);
        var dtype = precision == MixedPrecision.BF16 ? ScalarType.BFloat16 : ScalarType.Float16;
        manual_seed(7);
        using var reference = Build().to(accelerator.Device);
        manual_seed(7 + (100 * context.Rank));
        using var made = Build();
        using var plain = optim.AdamW(reference.parameters(), 1e-2);
        var (model, optimizer) = accelerator.Prepare(made, optim.AdamW(made.parameters(), 1e-2));
        var rows = GlobalBatch / 2 / context.Size;
        for (var step = 0; step < Steps; step++)
        {
            using var scope = NewDisposeScope();
            var (inputs, targets) = Batch(accelerator, step);
            plain.zero_grad();
            Tensor output;
            using (Autocast.Enter(accelerator.Device.type, dtype)) output = reference.call(inputs).to(float32);
            var expected = nn.functional.mse_loss(output, targets);
            expected.backward();
            accelerator.ClipGradNorm(reference.parameters(), 0.5);
            plain.step();

            var mean = 0f;
            for (var k = 0; k < 2; k++)
            {
                using var window = accelerator.Accumulate(model);
                var start = ((k * context.Size) + context.Rank) * rows;
                var loss = nn.functional.mse_loss(model.call(inputs.narrow(0, start, rows)), targets.narrow(0, start, rows));
                accelerator.Backward(loss);
                mean += accelerator.Reduce(loss, "mean").item<float>() / 2;
                if (accelerator.SyncGradients) accelerator.ClipGradNorm(model.parameters(), 0.5);
                optimizer.step();
                optimizer.zero_grad();
            }

            Expect.Equal(false, accelerator.OptimizerStepWasSkipped, $"step {step} was skipped");
            Expect.Close(expected.item<float>(), mean, 1e-2 * Math.Max(1, expected.item<float>()), $"{precision}: loss of step {step}");
        }

        ExpectEqualWeights(accelerator, model);
        accelerator.EndTraining();
    }

    /// <summary>
    /// One rank's gradients overflow in one step: every rank skips that step, and no other. Arguments: <c>fsdp</c> to shard, <c>gpu</c>.
    /// </summary>
    [Scenario]
    public static void OverflowOnOneRank(WorkerContext context)
    {
        const int OverflowAt = 3;
        var accelerator = Start(context, MixedPrecision.FP16, accumulation: 1);
        manual_seed(7);
        using var made = Build();
        var (model, optimizer) = accelerator.Prepare(made, optim.AdamW(made.parameters(), 1e-2, weight_decay: 0.1));
        var scheduler = accelerator.Prepare(optim.lr_scheduler.StepLR(optimizer, 1, 0.5));
        for (var step = 0; step < Steps; step++)
        {
            using var scope = NewDisposeScope();
            var (inputs, targets) = Batch(accelerator, (step * context.Size) + context.Rank);
            var before = model.parameters().Select(parameter => parameter.detach().clone()).ToList();
            var scale = accelerator.Scaler!.Scale;
            optimizer.zero_grad();
            var loss = nn.functional.mse_loss(model.call(inputs), targets);
            accelerator.Backward(step == OverflowAt && context.Rank == context.Size - 1 ? loss * float.PositiveInfinity : loss);
            accelerator.ClipGradNorm(model.parameters(), 1);
            optimizer.step();
            scheduler.step();
            var unchanged = before.Zip(model.parameters()).All(pair => pair.First.equal(pair.Second).all().item<bool>());
            Expect.Equal(step == OverflowAt, accelerator.OptimizerStepWasSkipped, $"step {step} was skipped");
            Expect.Equal(step == OverflowAt, unchanged, $"step {step} left the weights as they were");
            Expect.Equal(step == OverflowAt ? scale / 2 : scale, accelerator.Scaler.Scale, $"scale after step {step}");
        }

        var taken = (Steps - 1) * context.Size;
        Expect.Close(1e-2 * Math.Pow(0.5, taken), scheduler.get_last_lr().First(), 1e-12, "learning rate");
        if (!context.Arguments.Contains("fsdp")) ExpectEqualWeights(accelerator, model);
        accelerator.EndTraining();
    }

    private static Accelerator Start(WorkerContext context, MixedPrecision precision, int accumulation) => new(
        cpu: !context.Arguments.Contains("gpu"),
        mixedPrecision: precision,
        gradientAccumulationSteps: accumulation,
        fsdpPlugin: context.Arguments.Contains("fsdp") ? new() : null,
        gradScaler: precision == MixedPrecision.FP16 ? new() { InitScale = 1024 } : null);

    private static nn.Module<Tensor, Tensor> Build() => nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 1));

    private static (Tensor Inputs, Tensor Targets) Batch(Accelerator accelerator, int seed)
    {
        manual_seed(1000 + seed);
        return (randn(GlobalBatch, 6).to(accelerator.Device), randn(GlobalBatch, 1).to(accelerator.Device));
    }

    private static void ExpectEqualWeights(Accelerator accelerator, nn.Module model)
    {
        using var scope = NewDisposeScope();
        foreach (var (name, parameter) in model.named_parameters())
        {
            var all = accelerator.Gather(parameter.detach().reshape(1, -1));
            Expect.True((all - all[0]).abs().max().item<float>() == 0, $"{name} differs between the ranks");
        }
    }
}
