using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>What each rank holds, by the sizes of real storages.</summary>
internal static class ShardingMemory
{
    private const int Width = 16;
    private const int Padding = 8;

    /// <summary>Argument: the strategy, or a stage of DeepSpeed like <c>Zero2</c>.</summary>
    [Scenario]
    public static void ShardingBytes(WorkerContext context)
    {
        int? stage = context.Arguments[0].StartsWith("Zero", StringComparison.Ordinal) ? int.Parse(context.Arguments[0][4..]) : null;
        var strategy = stage switch
        {
            null => Enum.Parse<ShardingStrategy>(context.Arguments[0]),
            0 => ShardingStrategy.NoShard,
            3 => ShardingStrategy.FullShard,
            _ => ShardingStrategy.ShardGradOp,
        };
        var accelerator = stage is not null ? new Accelerator(cpu: true, deepSpeedPlugin: new DeepSpeedPlugin { ZeroStage = stage }) : new Accelerator(cpu: true, fsdpPlugin: new FullyShardedDataParallelPlugin
        {
            ShardingStrategy = strategy,
            AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap,
            ShardGroupSize = strategy == ShardingStrategy.HybridShard ? 2 : null,
        });
        var whole = new ShardingModels.Stack(6);
        var total = whole.parameters().Sum(parameter => parameter.numel()) * sizeof(float);
        var model = accelerator.Prepare(whole);
        var optimizer = accelerator.Prepare(optim.AdamW(model.parameters(), lr: 1e-3));
        var engine = accelerator.EngineOf(model)!;
        Expect.Equal(7, engine.Units.Count, "units: six blocks, which the policy has guessed, and the model");
        var ranks = strategy == ShardingStrategy.NoShard ? 1 : strategy == ShardingStrategy.HybridShard ? 2 : accelerator.NumProcesses;
        // Each parameter's start, and each buffer's end, may be padded.
        var padding = (model.parameters().Count() + (engine.Units.Count * ranks)) * Padding * sizeof(float);
        for (var step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            accelerator.Backward(model.call(randn(4, Width)).sum());
            Near(model.parameters().Sum(parameter => parameter.grad?.numel() ?? 0) * sizeof(float), "gradients");
            optimizer.step();
            optimizer.zero_grad();
            Expect.Equal(0L, engine.GatheredBytes, "bytes of whole parameters between steps");
        }

        // What storages have, not what tensors show: a view of a whole buffer would keep all of it.
        Near(model.parameters().GroupBy(parameter => TensorStorage.Address(parameter)).Sum(group => TensorStorage.ByteCount(group.First())), "parameters");
        Near(((AdamW)optimizer).state_dict().State.Cast<AdamW.State>().Sum(state => TensorStorage.ByteCount(state.exp_avg) + TensorStorage.ByteCount(state.exp_avg_sq)) / 2, "optimizer states");
        if (strategy != ShardingStrategy.NoShard)
        {
            var unit = engine.Units.Skip(1).Max(part => part.Flats.Sum(flat => flat.Count)) * sizeof(float);
            var root = engine.Units[0].Flats.Sum(flat => flat.Count) * sizeof(float);
            var limit = strategy == ShardingStrategy.ShardGradOp ? root + (6 * unit) : root + (2 * unit);
            Expect.Equal(limit, engine.PeakGatheredBytes, "the most bytes of whole parameters at once: the model's own and two units");
        }

        accelerator.EndTraining();

        void Near(long bytes, string what) =>
            Expect.True(bytes >= total / ranks - padding && bytes <= (total / ranks) + padding, $"{what}: {bytes} bytes on this rank, of {total} over {ranks} ranks");
    }
}
