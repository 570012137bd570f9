using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>State dicts of sharded models and optimizers, in memory and back.</summary>
internal static class ShardingStates
{
    private const int Width = 16;

    /// <summary>Three steps, then everything is taken, loaded into fresh objects, and both go on alike.</summary>
    [Scenario]
    public static void ShardingStateDicts(WorkerContext context)
    {
        var accelerator = Start();
        var (model, optimizer) = Make(accelerator, seed: 1);
        for (var step = 0; step < 3; step++) Step(accelerator, model, optimizer, step);
        var full = accelerator.GetStateDict(model);
        var fullOptimizer = accelerator.GetOptimizerStateDict(optimizer, model);
        var sharded = accelerator.GetShardedStateDict(model);
        var shardedOptimizer = accelerator.GetShardedOptimizerStateDict(optimizer, model);
        var local = accelerator.GetShardedStateDict(model, StateDictType.LocalStateDict);
        Expect.Equal(context.Rank == 0 ? ShardingModels.All.First().Build().state_dict().Count : 0, full.Count, "names in the full state dict");
        if (context.Rank == 0)
        {
            // Whole tensors under the names and in the shapes of the model that is not sharded.
            using var plain = new ShardingModels.Stack(4);
            plain.load_state_dict(full);
            Expect.Equal(3L, fullOptimizer["_layers_head.weight.step"].to(ScalarType.Int64).item<long>(), "steps of the optimizer");
        }

        var expected = Enumerable.Range(3, 3).Select(step => Step(accelerator, model, optimizer, step)).ToArray();
        GoesOn("full", (loaded, made) =>
        {
            accelerator.LoadStateDict(loaded, context.Rank == 0 ? full : null);
            accelerator.LoadOptimizerStateDict(made, loaded, context.Rank == 0 ? fullOptimizer : null);
        });
        var (parts, optimizerParts) = (Exchange(accelerator, sharded), Exchange(accelerator, shardedOptimizer));
        GoesOn("sharded", (loaded, made) =>
        {
            accelerator.LoadStateDict(loaded, parts);
            accelerator.LoadOptimizerStateDict(made, loaded, optimizerParts);
        });
        GoesOn("local", (loaded, made) =>
        {
            accelerator.LoadStateDict(loaded, Exchange(accelerator, local));
            accelerator.LoadOptimizerStateDict(made, loaded, optimizerParts);
        });
        ChangesTheNumberOfRanks(parts, optimizerParts, full, expected);
        RefusesWhatDoesNotFit(accelerator, context, full);
        accelerator.EndTraining();

        void GoesOn(string how, Action<nn.Module<Tensor, Tensor>, AdamW> load)
        {
            var (loaded, made) = Make(accelerator, seed: 2);
            load(loaded, made);
            for (var step = 3; step < 6; step++) Expect.Equal(expected[step - 3], Step(accelerator, loaded, made, step), $"{how}: loss of step {step} after loading");
        }
    }

    /// <summary>The parts of all ranks, loaded by an engine of one rank, are the full state dict.</summary>
    private static void ChangesTheNumberOfRanks(
        IReadOnlyList<ShardedStateDict> parts, IReadOnlyList<ShardedStateDict> optimizerParts, Dictionary<string, Tensor> full, float[] expected)
    {
        // Every rank holds the whole: a shard group of one.
        var alone = new Accelerator(cpu: true, fsdpPlugin: new FullyShardedDataParallelPlugin { ShardingStrategy = ShardingStrategy.NoShard, WrapWhere = ShardingModels.IsUnit });
        var (model, optimizer) = Make(alone, seed: 5);
        alone.LoadStateDict(model, parts);
        alone.LoadOptimizerStateDict(optimizer, model, optimizerParts);
        foreach (var (name, value) in alone.GetStateDict(model)) Expect.True(value.equal(full[name]).all().item<bool>(), $"'{name}' in a job of another layout");
        for (var step = 3; step < 6; step++) Expect.Close(expected[step - 3], Step(alone, model, optimizer, step), 1e-5, $"loss of step {step} in a job of another layout");
        // And back: the parts of a job of one are enough for any other.
        var whole = alone.GetShardedStateDict(model);
        var sharded = Start();
        var (back, _) = Make(sharded, seed: 6);
        sharded.LoadStateDict(back, [whole]);
        using var same = sharded.Reduce(back.call(ones(2, Width)).mean(), "mean");
        using var wholeLoss = alone.Reduce(model.call(ones(2, Width)).mean(), "mean");
        Expect.Close(wholeLoss.item<float>(), same.item<float>(), 1e-6, "output after loading at another world size");
    }

    private static void RefusesWhatDoesNotFit(Accelerator accelerator, WorkerContext context, Dictionary<string, Tensor> full)
    {
        var (model, _) = Make(accelerator, seed: 7);
        full.Remove("_layers_head.bias");
        var message = Expect.Throws<ArgumentException>(() => accelerator.LoadStateDict(model, context.Rank == 0 ? full : null));
        Expect.True(message.Contains("_layers_head.bias", StringComparison.Ordinal), message);
        full["_layers_head.bias"] = zeros(7);
        message = Expect.Throws<ArgumentException>(() => accelerator.LoadStateDict(model, context.Rank == 0 ? full : null));
        Expect.True(message.Contains("has shape [7] in the state dict and [1] in the model", StringComparison.Ordinal), message);
        accelerator.LoadStateDict(model, new Dictionary<string, Tensor>(), strict: false);
        message = Expect.Throws<ArgumentException>(() => accelerator.LoadStateDict(model, []));
        Expect.True(message.Contains("has no", StringComparison.Ordinal), message);
    }

    private static Accelerator Start() => new(cpu: true, fsdpPlugin: new FullyShardedDataParallelPlugin { WrapWhere = ShardingModels.IsUnit });

    private static (nn.Module<Tensor, Tensor> Model, AdamW Optimizer) Make(Accelerator accelerator, int seed)
    {
        Accelerator.SetSeed(seed);
        var model = accelerator.Prepare<nn.Module<Tensor, Tensor>>(new ShardingModels.Stack(4));
        return (model, accelerator.Prepare(optim.AdamW(model.parameters(), lr: 1e-2)));
    }

    private static float Step(Accelerator accelerator, nn.Module<Tensor, Tensor> model, optim.Optimizer optimizer, int seed)
    {
        using var scope = NewDisposeScope();
        Accelerator.SetSeed(seed);
        var loss = model.call(randn(8, Width)).pow(2).mean();
        accelerator.Backward(loss);
        optimizer.step();
        optimizer.zero_grad();
        return loss.item<float>();
    }

    /// <summary>The parts of all ranks, on every rank, as files would carry them.</summary>
    private static IReadOnlyList<ShardedStateDict> Exchange(Accelerator accelerator, ShardedStateDict mine)
    {
        var packed = mine.Entries.ToDictionary(entry => entry.Key, entry => new Packed([.. entry.Value.Shape], entry.Value.Start, (int)entry.Value.Local.dtype, entry.Value.Local.bytes.ToArray()));
        return [.. accelerator.ProcessGroup!.AllGatherObject(packed).Select((part, rank) => new ShardedStateDict(mine.Type, rank, mine.WorldSize, part.ToDictionary(entry => entry.Key, entry => entry.Value.Unpack())))];
    }

    private sealed record Packed(long[] Shape, long Start, int Dtype, byte[] Bytes)
    {
        public ShardedTensor Unpack()
        {
            var dtype = (ScalarType)Dtype;
            var local = empty(Bytes.Length / (dtype is ScalarType.Float32 ? 4 : 8), dtype);
            local.bytes = Bytes;
            return new ShardedTensor(Shape, Start, local);
        }
    }
}
