using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>Training on all processes against the same training on one, which every rank runs beside it.</summary>
internal static class TrainingEquality
{
    private const int RowsPerProcess = 4;
    internal const int Width = 16;

    public static void Run(Accelerator accelerator, Findings findings, int steps)
    {
        var rows = RowsPerProcess * accelerator.NumProcesses;
        Accelerator.SetSeed(7);
        using var reference = Build().to(accelerator.Device);
        // Other weights on each rank: preparing the model has to bring all of them to those of rank 0.
        Accelerator.SetSeed(7 + (100 * accelerator.ProcessIndex));
        using var model = Build();
        using var plain = optim.AdamW(reference.parameters(), lr: 1e-2);
        using var own = optim.AdamW(model.parameters(), lr: 1e-2);
        var (trained, optimizer) = accelerator.Prepare(model, own);
        Accelerator.SetSeed(1234);
        var (worstLoss, worstGradient) = (0.0, 0.0);
        for (var step = 0; step < steps; step++)
        {
            using var scope = NewDisposeScope();
            // Drawn on the CPU: every rank draws the same global batch, whatever its device.
            var inputs = randn(rows, Width).to(accelerator.Device);
            var targets = randn(rows, 1).to(accelerator.Device);

            plain.zero_grad();
            var expected = nn.functional.mse_loss(reference.call(inputs), targets);
            expected.backward();

            optimizer.zero_grad();
            var first = accelerator.ProcessIndex * RowsPerProcess;
            var loss = nn.functional.mse_loss(trained.call(inputs.narrow(0, first, RowsPerProcess)), targets.narrow(0, first, RowsPerProcess));
            accelerator.Backward(loss);
            if (step == 0) worstGradient = CompareGradients(findings, reference, trained);

            plain.step();
            optimizer.step();
            var (alone, together) = (expected.item<float>(), accelerator.Reduce(loss.detach(), "mean").item<float>());
            worstLoss = Math.Max(worstLoss, Math.Abs(alone - together));
            findings.Close(alone, together, 1e-4, $"loss of step {step + 1}, on {accelerator.NumProcesses} processes against one");
        }
        accelerator.FreeMemory();
        findings.Note = $"largest difference: gradient {worstGradient:0.0e+0}, loss {worstLoss:0.0e+0}";
    }

    internal static nn.Module<Tensor, Tensor> Build() =>
        nn.Sequential(nn.Linear(Width, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1));

    private static double CompareGradients(Findings findings, nn.Module reference, nn.Module trained)
    {
        var worst = 0.0;
        foreach (var ((name, expected), (_, actual)) in reference.named_parameters().Zip(trained.named_parameters()))
        {
            var (alone, together) = (expected.grad, actual.grad);
            if (alone is null || together is null)
            {
                findings.Expect(false, $"{name} has no gradient");
                continue;
            }
            var difference = (alone - together).abs().max().item<float>();
            worst = Math.Max(worst, difference);
            findings.Expect(difference < 1e-5, $"gradient of {name} differs by {difference:0.0e+0} from that of one process");
        }
        return worst;
    }
}
