using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>Training with the model divided among the processes, by the configured settings of FSDP, against the same training on one.</summary>
internal static class ShardedTraining
{
    private const int RowsPerProcess = 4, Steps = 5;

    public static void Run(Findings findings)
    {
        // The units are this model's; all else is as the FSDP_* variables say.
        var accelerator = new Accelerator(
            mixedPrecision: MixedPrecision.No, fsdpPlugin: new FullyShardedDataParallelPlugin { WrapWhere = static (_, module) => module is TorchSharp.Modules.Linear });
        var rows = RowsPerProcess * accelerator.NumProcesses;
        Accelerator.SetSeed(7);
        using var reference = TrainingEquality.Build().to(accelerator.Device);
        Accelerator.SetSeed(7);
        using var whole = TrainingEquality.Build();
        var total = whole.parameters().Sum(parameter => parameter.numel());
        var model = accelerator.Prepare(whole);
        using var plain = optim.AdamW(reference.parameters(), lr: 1e-2);
        using var own = optim.AdamW(model.parameters(), lr: 1e-2);
        var optimizer = accelerator.Prepare(own);
        Accelerator.SetSeed(1234);
        var worst = 0.0;
        for (var step = 0; step < Steps; step++)
        {
            using var scope = NewDisposeScope();
            var inputs = randn(rows, TrainingEquality.Width).to(accelerator.Device);
            var targets = randn(rows, 1).to(accelerator.Device);
            plain.zero_grad();
            var expected = nn.functional.mse_loss(reference.call(inputs), targets);
            expected.backward();
            plain.step();

            optimizer.zero_grad();
            var first = accelerator.ProcessIndex * RowsPerProcess;
            var loss = nn.functional.mse_loss(model.call(inputs.narrow(0, first, RowsPerProcess)), targets.narrow(0, first, RowsPerProcess));
            accelerator.Backward(loss);
            optimizer.step();
            var (alone, together) = (expected.item<float>(), accelerator.Reduce(loss.detach(), "mean").item<float>());
            worst = Math.Max(worst, Math.Abs(alone - together));
            findings.Close(alone, together, 1e-4, $"loss of step {step + 1}, divided among {accelerator.NumProcesses} processes against one");
        }
        var held = model.parameters().Sum(parameter => parameter.numel());
        findings.Note = $"FSDP {accelerator.FsdpPlugin!.ShardingStrategy}: {held} of {total} parameters on each process; largest difference: loss {worst:0.0e+0}";
        accelerator.FreeMemory();
    }
}
