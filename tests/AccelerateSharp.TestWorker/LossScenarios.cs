using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.TestWorker;

/// <summary>Fused losses inside of a model on several ranks.</summary>
internal static class LossScenarios
{
    private const int Vocabulary = 29, Width = 16, Length = 6, GlobalBatch = 8, Steps = 6;

    /// <summary>
    /// A language model whose head is its embedding trains with the fused loss as one process does with the plain one. Arguments:
    /// <c>ddp</c> or <c>fsdp</c>, and the precision.
    /// </summary>
    [Scenario]
    public static void FusedLossEquality(WorkerContext context)
    {
        var precision = Enum.Parse<MixedPrecision>(context.Arguments[1]);
        var accelerator = new Accelerator(
            cpu: true, mixedPrecision: precision,
            fsdpPlugin: context.Arguments[0] == "fsdp" ? new() { WrapWhere = static (name, _) => name == "_block" } : null);
        manual_seed(3);
        using var reference = new LanguageModel(fused: false);
        manual_seed(3);
        using var made = new LanguageModel(fused: true);
        using var plain = optim.AdamW(reference.parameters(), 1e-2);
        var (model, optimizer) = accelerator.Prepare(made, optim.AdamW(made.parameters(), 1e-2));
        for (var step = 0; step < Steps; step++)
        {
            using var scope = NewDisposeScope();
            manual_seed(50 + step);
            var tokens = randint(0, Vocabulary, [GlobalBatch, Length], ScalarType.Int64);
            var targets = tokens.roll(-1, 1);
            plain.zero_grad();
            var expected = reference.call(tokens, targets);
            expected.backward();
            plain.step();

            optimizer.zero_grad();
            var rows = GlobalBatch / context.Size;
            var loss = model.call(tokens.narrow(0, context.Rank * rows, rows), targets.narrow(0, context.Rank * rows, rows));
            accelerator.Backward(loss);
            optimizer.step();
            var mean = accelerator.Reduce(loss, "mean").item<float>();
            Expect.Close(expected.item<float>(), mean, precision == MixedPrecision.No ? 1e-5 : 0.02, $"loss of step {step}");
        }

        accelerator.EndTraining();
    }

    /// <summary>Embedding, one block, and the embedding's weight as the head.</summary>
    private sealed class LanguageModel : Module<Tensor, Tensor, Tensor>
    {
        private readonly Embedding _embedding = Embedding(Vocabulary, Width);
        private readonly Linear _block = Linear(Width, Width);
        private readonly Linear _head = Linear(Width, Vocabulary, hasBias: false);
        private readonly bool _fused;

        public LanguageModel(bool fused)
            : base(nameof(LanguageModel))
        {
            _fused = fused;
            RegisterComponents();
            _head.weight = _embedding.weight!;
        }

        public override Tensor forward(Tensor tokens, Tensor targets)
        {
            var hidden = functional.tanh(_block.call(_embedding.call(tokens)));
            return _fused
                ? FusedLosses.LinearCrossEntropy(hidden, _head.weight!, targets, chunkSize: 5)
                : functional.cross_entropy(_head.call(hidden).flatten(0, 1), targets.flatten());
        }
    }
}
