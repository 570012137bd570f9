using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>Steps in the configured precision: what computes in which dtype, and whether the weights move and stay the same everywhere.</summary>
internal static class Precision
{
    // What the matrix products of every precision can do: fp8 wants multiples of 16.
    private const int Rows = 32, Width = 32;

    /// <summary>fp16 begins with a scale that is meant to be too large, and halves it with each step that it skips.</summary>
    private const int MostSteps = 20;

    /// <param name="accelerator">One in the precision of the weights, for what is not under test.</param>
    /// <param name="findings">What is found.</param>
    public static void Run(Accelerator accelerator, Findings findings)
    {
        var own = new Accelerator();
        // Under fp8 everything but the products inside of the linear layers is as under bf16.
        var computed = own.MixedPrecision switch
        {
            MixedPrecision.FP16 => ScalarType.Float16,
            MixedPrecision.BF16 or MixedPrecision.FP8 => ScalarType.BFloat16,
            _ => ScalarType.Float32,
        };
        Accelerator.SetSeed(11);
        using var probe = new Probe();
        using var reference = new Probe();
        reference.load_state_dict(probe.state_dict());
        reference.to(own.Device);
        using var adam = optim.AdamW(probe.parameters(), lr: 1e-2);
        var (model, optimizer) = own.Prepare(probe, adam);
        using var scope = NewDisposeScope();
        var inputs = randn(Rows, Width).to(own.Device);
        var targets = randn(Rows, Width).to(own.Device);
        var before = model.parameters().Select(parameter => parameter.detach().clone()).ToList();

        var skipped = 0;
        for (var step = 0; step < MostSteps && skipped == step; step++)
        {
            optimizer.zero_grad();
            var output = model.call(inputs);
            var loss = nn.functional.mse_loss(output, targets);
            if (step == 0)
            {
                findings.Equal([computed, ScalarType.Float32], [model.Hidden, output.dtype], "dtype of the hidden layer and of the output");
                using var exact = no_grad();
                // Two layers of one rounding each: a few parts in a hundred for bfloat16 and float8, less for the others.
                findings.Close(nn.functional.mse_loss(reference.call(inputs), targets).item<float>(), loss.item<float>(), computed == ScalarType.Float32 ? 1e-5 : 0.05, "loss against that of full precision");
            }
            own.Backward(loss);
            optimizer.step();
            if (own.OptimizerStepWasSkipped) skipped++;
        }
        findings.Expect(skipped < MostSteps, $"every one of {MostSteps} steps overflowed and was skipped");
        foreach (var ((name, parameter), old) in model.named_parameters().Zip(before))
        {
            findings.Equal([ScalarType.Float32, ScalarType.Float32], [parameter.dtype, parameter.grad?.dtype ?? ScalarType.Bool], $"dtype of {name} and of its gradient");
            findings.Expect(parameter.isfinite().all().item<bool>() && !parameter.allclose(old, 0, 0), $"{name} has not moved to a finite value");
            // Rank 0's weights on every rank: the largest distance over all of them.
            var first = accelerator.Broadcast(parameter.detach().clone(), 0);
            var distance = accelerator.Reduce((parameter.detach() - first).abs().max(), "sum").item<float>();
            findings.Expect(distance == 0, $"{name} is not the same on every rank: {distance:0.0e+0} apart");
        }
        own.FreeMemory();
        var precision = own.MixedPrecision == MixedPrecision.No ? "no mixed precision" : own.MixedPrecision.ToString().ToLowerInvariant();
        findings.Note = $"{precision}: computes in {computed}, weights in Float32{(skipped > 0 ? $", {skipped} overflow(s) skipped" : "")}";
    }

    /// <summary>Two linear layers that tell in which dtype they meet.</summary>
    private sealed class Probe : nn.Module<Tensor, Tensor>
    {
        private readonly nn.Module<Tensor, Tensor> _first = nn.Linear(Width, Width);
        private readonly nn.Module<Tensor, Tensor> _second = nn.Linear(Width, Width);

        public Probe() : base(nameof(Probe)) => RegisterComponents();

        /// <summary>The dtype between the layers, of the last call.</summary>
        public ScalarType Hidden { get; private set; }

        public override Tensor forward(Tensor input)
        {
            using var hidden = _first.call(input);
            Hidden = hidden.dtype;
            using var active = nn.functional.relu(hidden);
            return _second.call(active);
        }
    }
}
