using AccelerateSharp.Distributed;
using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Float8 on several ranks: scales that agree, sharded weights, and what MS-AMP sends.</summary>
internal static class Fp8Scenarios
{
    private const int Width = 64;
    private const int Steps = 12;
    private const int GlobalBatch = 16;

    /// <summary>
    /// Transformer Engine's recipe against float32 on one process, and the scales on all ranks. Arguments: <c>ddp</c> or <c>fsdp</c>,
    /// <c>checkpoint</c> to recompute activations, <c>gpu</c> to run on GPUs.
    /// </summary>
    [Scenario]
    public static void Fp8Training(WorkerContext context)
    {
        var accelerator = new Accelerator(
            cpu: !context.Arguments.Contains("gpu"), mixedPrecision: MixedPrecision.FP8, fp8Recipe: new TERecipeKwargs { MinWeightElements = 0, AmaxHistoryLen = 4, AmaxComputeAlgo = AmaxComputeAlgo.Max },
            fsdpPlugin: context.Arguments.Contains("fsdp")
                ? new() { AutoWrapPolicy = AutoWrapPolicy.SizeBasedWrap, MinNumParams = Width * Width, ActivationCheckpointing = context.Arguments.Contains("checkpoint") ? true : null }
                : null);
        manual_seed(7);
        using var reference = Build().to(accelerator.Device);
        manual_seed(7 + (100 * context.Rank));
        using var made = Build();
        if (context.Rank == 0) made.load_state_dict(reference.state_dict());
        using var plain = optim.AdamW(reference.parameters(), 3e-3);
        var (model, optimizer) = accelerator.Prepare(made, optim.AdamW(made.parameters(), 3e-3));
        var float8 = accelerator.Fp8ModelOf(model)!;
        var rows = GlobalBatch / context.Size;
        for (var step = 0; step < Steps; step++)
        {
            using var scope = NewDisposeScope();
            var (inputs, targets) = Batch(accelerator, step);
            plain.zero_grad();
            var expected = nn.functional.mse_loss(reference.call(inputs), targets);
            expected.backward();
            plain.step();

            optimizer.zero_grad();
            var mine = inputs.narrow(0, context.Rank * rows, rows);
            var loss = nn.functional.mse_loss(model.call(mine), targets.narrow(0, context.Rank * rows, rows));
            // Noted in forward and backward, until the step ends.
            accelerator.Backward(loss);
            optimizer.step();
            Expect.Close(expected.item<float>(), accelerator.Reduce(loss, "mean").item<float>(), 0.06 * expected.item<float>(), $"loss of step {step}");
            // The first layer's input is known: its scale is that of the largest row of any rank, of the last four steps.
            var amax = Enumerable.Range(Math.Max(0, step - 3), Math.Min(4, step + 1)).Max(past => Batch(accelerator, past).Inputs.abs().max().item<float>());
            Expect.Close(448 / amax, float8.Scaling!.Scales[0].item<float>(), 1e-2, $"scale of the first input after step {step}");
            var all = accelerator.Gather(float8.Scaling.Scales.reshape(1, -1));
            Expect.True(all[0].equal(all[1]).all().item<bool>(), $"the ranks have the same scales after step {step}");
        }

        accelerator.EndTraining();
    }

    /// <summary>MS-AMP: every large collective carries float8, gradients are averaged, and the ranks end with the same weights. Arguments: the level, and <c>gpu</c>.</summary>
    [Scenario]
    public static void MsAmpCommunication(WorkerContext context)
    {
        var accelerator = new Accelerator(
            cpu: !context.Arguments.Contains("gpu"), mixedPrecision: MixedPrecision.FP8, fp8Recipe: new MSAMPRecipeKwargs { OptLevel = Enum.Parse<MSAMPOptLevel>(context.Arguments[0]) },
            distributedDataParallel: new() { FindUnusedParameters = true });
        manual_seed(7 + (100 * context.Rank));
        using var made = new Branching();
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
        var weights = accelerator.Fp8ModelOf(model)!.Gradients!.Weights;
        Expect.Equal(3, weights.Count, "weights that MS-AMP stores");
        var elements = weights.Sum(weight => weight.Parameter.numel());
        var group = accelerator.ProcessGroup!;
        for (var step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            optimizer.zero_grad();
            var sent = new List<(CollectiveKind Kind, ScalarType Dtype, long Count)>();
            group.Observer = call => sent.Add((call.Kind, call.Dtype, call.Inputs.Concat(call.Outputs).Max(tensor => tensor.numel())));
            model.UseSecond = context.Rank == context.Size - 1;
            manual_seed(100 + (10 * step) + context.Rank);
            var x = randn(8, Width).to(accelerator.Device) * (1 + (7 * context.Rank));
            accelerator.Backward(model.call(x).sum());
            group.Observer = null;

            // All-to-all and all-gather, each of one byte for each weight (padded to the ranks); the rest is one number for each weight.
            var large = sent.Where(call => call.Count > 16 && call.Kind != CollectiveKind.Broadcast).ToList();
            Expect.True(large.TrueForAll(call => call.Dtype == ScalarType.Byte || call.Count <= Width + 8), $"what is large goes in bytes: {string.Join(", ", large)}");
            foreach (var kind in new[] { CollectiveKind.AllToAll, CollectiveKind.AllGather })
                Expect.Equal(elements, large.Where(call => call.Kind == kind && call.Dtype == ScalarType.Byte).Sum(call => call.Count), $"bytes of {kind}");

            // d(sum)/dW of the first layer: ones x the column sums of the input, averaged over the ranks.
            var columns = accelerator.Reduce(x.sum([0L]), "mean");
            var expected = columns.unsqueeze(0).expand(Width, Width);
            var error = (weights[0].Gradient() - expected).norm() / expected.norm();
            Expect.True(error.item<float>() < 0.1, $"the averaged gradient is {error.item<float>():P1} off");
            Expect.True(weights[1].GradientCodes is not null, "a layer that one rank used has a gradient on all");
            Expect.True(weights[2].GradientCodes is null && weights[2].Parameter.grad is null, "a layer that nobody used has none");
            var codes = accelerator.Gather(Float8Kinds.Reinterpret(weights[0].GradientCodes!, ScalarType.Byte).reshape(1, -1));
            Expect.True(codes[0].equal(codes[1]).all().item<bool>(), "the ranks have the same gradient");
            optimizer.step();
        }

        var (weightDtype, states) = context.Arguments[0] switch { "O1" => ("fp16", "fp32 + fp32"), "O2" => ("fp16", "fp8 + fp16"), _ => ("fp8, master fp16", "fp8 + fp16") };
        var report = accelerator.PrecisionReport(model);
        var row = report.Rows.Single(row => row.OptimizerStates == states && row.Compute == "fp8");
        Expect.True(row == new PrecisionReportRow(2 * Width * Width, weightDtype, "fp8", "fp8", "fp8", states), $"the level's row in\n{report}");
        foreach (var weight in weights)
        {
            using var scope = NewDisposeScope();
            var bits = Float8Kinds.Reinterpret(weight.Master is null ? weight.Parameter.detach() : weight.Master, ScalarType.Int16);
            var all = accelerator.Gather(bits.reshape(1, -1));
            Expect.True(all[0].equal(all[1]).all().item<bool>(), $"{weight.Name} is the same on all ranks");
        }

        accelerator.EndTraining();
    }

    private static Sequential Build() => nn.Sequential(
        nn.Linear(Width, 2 * Width), nn.GELU(), nn.LayerNorm(2 * Width), nn.Linear(2 * Width, Width), nn.Tanh(), nn.Linear(Width, 16));

    private static (Tensor Inputs, Tensor Targets) Batch(Accelerator accelerator, int seed)
    {
        manual_seed(1000 + seed);
        var inputs = randn(GlobalBatch, Width);
        // The ranks see numbers of different size.
        inputs.narrow(0, GlobalBatch / 2, GlobalBatch / 2).mul_(3);
        return (inputs.to(accelerator.Device), randn(GlobalBatch, 16).to(accelerator.Device));
    }

    /// <summary>One layer that all ranks use, one that some do, one that nobody does.</summary>
    private sealed class Branching : nn.Module<Tensor, Tensor>
    {
        private readonly Linear _always = nn.Linear(Width, Width);
        private readonly Linear _sometimes = nn.Linear(Width, Width, hasBias: false);
        private readonly Linear _never = nn.Linear(Width, Width, hasBias: false);

        public Branching() : base(nameof(Branching)) => RegisterComponents();

        public bool UseSecond { get; set; }

        public override Tensor forward(Tensor input)
        {
            var output = _always.call(input);
            return UseSecond ? output + _sometimes.call(input) : output;
        }
    }
}
