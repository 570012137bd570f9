using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision;

/// <summary>A language model learns in every precision; benchmarks/convergence.sh is the same with the demo's model and text.</summary>
[Collection("process state")]
public sealed class ConvergenceTests
{
    private const int Context = 6, Steps = 60, Batch = 64;

    [Fact]
    public void The_held_out_loss_of_bf16_is_within_1_percent_of_fp32_and_that_of_fp16_within_half_a_percent()
    {
        var exact = HeldOutLoss(MixedPrecision.No);
        Assert.InRange(exact, 0.2, 1.5);
        Assert.Equal(exact, HeldOutLoss(MixedPrecision.BF16), 0.01 * exact);
        Assert.Equal(exact, HeldOutLoss(MixedPrecision.FP16), 0.005 * exact);
    }

    private static double HeldOutLoss(MixedPrecision precision)
    {
        using var scope = NewDisposeScope();
        // The first steps at 65536 overflow and are skipped, which is right and not what is compared here.
        var accelerator = new Accelerator(cpu: true, mixedPrecision: precision, gradScaler: precision == MixedPrecision.FP16 ? new() { InitScale = 1024 } : null);
        manual_seed(11);
        var made = new Predictor();
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-2));
        for (var step = 0; step < Steps; step++)
        {
            using var stepScope = NewDisposeScope();
            optimizer.zero_grad();
            var (inputs, targets) = Windows(step);
            accelerator.Backward(functional.cross_entropy(model.call(inputs), targets));
            accelerator.ClipGradNorm(model.parameters(), 1);
            optimizer.step();
            Assert.False(accelerator.OptimizerStepWasSkipped);
        }

        using var noGrad = no_grad();
        var (heldOut, answers) = Windows(Steps);
        var loss = functional.cross_entropy(model.call(heldOut), answers).item<float>();
        accelerator.FreeMemory();
        return loss;
    }

    /// <summary>Windows of a text of a few words in random order, as letters; the next letter is the target.</summary>
    private static (Tensor Inputs, Tensor Targets) Windows(int seed)
    {
        string[] words = ["rank ", "shard ", "bucket ", "gather ", "scatter ", "reduce "];
        var random = new Random(seed);
        var text = string.Concat(Enumerable.Range(0, Batch).Select(_ => words[random.Next(words.Length)]));
        var codes = text.Select(letter => letter == ' ' ? 26L : letter - 'a').ToArray();
        return (
            stack(Enumerable.Range(0, Batch).Select(start => tensor(codes[start..(start + Context)])).ToArray()),
            tensor(codes[Context..(Context + Batch)]));
    }

    private sealed class Predictor : Module<Tensor, Tensor>
    {
        private readonly Embedding _letters = Embedding(27, 16);
        private readonly LayerNorm _norm = LayerNorm(16 * Context);
        private readonly Linear _hidden = Linear(16 * Context, 64);
        private readonly Linear _head = Linear(64, 27);

        public Predictor()
            : base(nameof(Predictor)) => RegisterComponents();

        public override Tensor forward(Tensor input) => _head.call(functional.gelu(_hidden.call(_norm.call(_letters.call(input).flatten(1)))));
    }
}
