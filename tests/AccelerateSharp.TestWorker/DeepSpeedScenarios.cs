using System.Text.Json.Nodes;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>What DeepSpeed's settings add to sharding: files, models made on rank 0 alone, the loss scale.</summary>
internal static class DeepSpeedScenarios
{
    private const int Width = 16;

    [Scenario]
    public static void DeepSpeedFiles(WorkerContext context)
    {
        var folder = Environment.GetEnvironmentVariable("TEST_FOLDER")!;
        var inMemory = Train(context, "none", folder);
        var inFiles = Train(context, "nvme", folder);
        Expect.Equal(inMemory.Keys, inFiles.Keys, "names in the state dicts");
        foreach (var (name, value) in inMemory) Expect.True(value.equal(inFiles[name]).all().item<bool>(), $"{name} is the same from memory and from files");
        Expect.True(context.Rank != 0 || inMemory.Values.Any(value => value.dtype == ScalarType.BFloat16), "weights in 16 bits");
        Expect.Equal(0, Directory.GetFiles(folder, "*.swap").Length, "files with a name");
        Overflow(context);
    }

    /// <summary>Weights and optimizer states after a few steps, and how they are loaded back.</summary>
    private static Dictionary<string, Tensor> Train(WorkerContext context, string device, string folder)
    {
        var accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new DeepSpeedPlugin
        {
            Config = (JsonObject)JsonNode.Parse($$$"""
                {"bf16": {"enabled": true}, "optimizer": {"type": "AdamW", "params": {"lr": 0.01}}, "aio": {"block_size": 4096, "queue_depth": 2},
                 "zero_optimization": {"stage": 3, "sub_group_size": 4096, "stage3_gather_16bit_weights_on_model_save": true,
                   "offload_optimizer": {"device": "{{{device}}}", "nvme_path": "{{{folder}}}"}, "offload_param": {"device": "{{{device}}}", "nvme_path": "{{{folder}}}", "max_in_cpu": 0} } }
                """)!,
        });
        Expect.Equal(DistributedType.DeepSpeed, accelerator.DistributedType, "how the processes share the work");
        Accelerator.SetSeed(11);
        // Only rank 0 makes weights.
        var model = accelerator.ZeroInit(static () => new ShardingModels.Stack(3));
        Expect.Equal(context.Rank != 0, model.parameters().First().is_meta, "the other ranks have shapes only");
        DummyOptim optimizer = new(model.parameters());
        (model, optimizer) = accelerator.Prepare(model, optimizer);
        for (var step = 0; step < 4; step++)
        {
            using var scope = NewDisposeScope();
            Accelerator.SetSeed(100 + step + (10 * context.Rank));
            accelerator.Backward(model.call(randn(8, Width)).square().mean());
            optimizer.step();
            optimizer.zero_grad();
        }

        var weights = accelerator.GetStateDict(model);
        var result = weights.Concat(accelerator.GetOptimizerStateDict(optimizer, model)).ToDictionary(pair => pair.Key, pair => pair.Value);
        if (device == "nvme") CheckMemory(accelerator, model, optimizer);
        // Loaded, it is there again; parts likewise.
        var part = accelerator.GetShardedStateDict(model);
        accelerator.LoadStateDict(model, weights.ToDictionary(pair => pair.Key, pair => zeros_like(pair.Value)));
        foreach (var value in accelerator.GetStateDict(model).Values) Expect.Close(0, value.abs().sum().to(ScalarType.Float32).item<float>(), 0, "weights that were loaded as zeros");
        accelerator.LoadStateDict(model, [.. Parts(accelerator, part)]);
        foreach (var (name, value) in accelerator.GetStateDict(model)) Expect.True(value.equal(weights[name]).all().item<bool>(), $"{name} after loading all ranks' parts");
        accelerator.FreeMemory();
        return result;
    }

    private static void CheckMemory(Accelerator accelerator, nn.Module model, optim.Optimizer optimizer)
    {
        var engine = accelerator.EngineOf(model)!;
        var flats = engine.Units.SelectMany(unit => unit.Flats).ToList();
        Expect.True(flats.TrueForAll(flat => flat.IsPaged), "all of the model is in a file");
        Expect.Equal((long)flats.Count * sizeof(float), flats.Sum(flat => TensorStorage.ByteCount(flat.Shard)), "bytes of shards in memory: one element stands for each");
        var shards = flats.Sum(flat => flat.ShardSize) * sizeof(float);
        Expect.True(engine.Pages!.FileBytes >= shards - (flats.Count * 64), $"{engine.Pages.FileBytes} bytes in the parameters' file");
        Expect.True(((DummyOptim)optimizer).Inner!.state_dict().State.Count > 0, "there are states");
        // Four tiles of 4096 elements in three tensors, with the rest of a block for each of the few parameters in a tile.
        var pager = accelerator.PagerOf(optimizer)!;
        Expect.True(pager.BufferBytes <= (4 * 3 * 4096 * (4 + 16)) + (1 << 20), $"{pager.BufferBytes} bytes of the optimizer's buffers");
        // A value in memory is none, and says so.
        Expect.True(model.parameters().Where(parameter => parameter.numel() > 0).All(parameter => parameter.isnan().all().item<bool>()), "parameters in files read as NaN");
    }

    private static IEnumerable<ShardedStateDict> Parts(Accelerator accelerator, ShardedStateDict mine)
    {
        // The parts of the other rank travel as lists of numbers.
        var packed = mine.Entries.Select(pair => new Packed(pair.Key, [.. pair.Value.Shape], pair.Value.Start, pair.Value.Local.to(ScalarType.Float32).data<float>().ToArray())).ToArray();
        var all = accelerator.GatherObject([packed]);
        for (var rank = 0; rank < all.Count; rank++)
            yield return new ShardedStateDict(StateDictType.ShardedStateDict, rank, all.Count, all[rank].ToDictionary(item => item.Name, item => new ShardedTensor(item.Shape, item.Start, tensor(item.Values))));
    }

    /// <summary>One rank's gradients overflow: no rank steps, and the scale shrinks everywhere, after the hysteresis.</summary>
    private static void Overflow(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new DeepSpeedPlugin
        {
            Config = (JsonObject)JsonNode.Parse("""{"fp16": {"enabled": true, "initial_scale_power": 12, "hysteresis": 2}, "zero_optimization": {"stage": 2}}""")!,
        });
        var model = accelerator.Prepare(nn.Linear(Width, 4));
        var optimizer = accelerator.Prepare(new FusedSGD(model.parameters(), 0.1));
        var before = accelerator.GetStateDict(model);
        foreach (var (overflows, scale) in new[] { (true, 4096.0), (true, 2048.0), (false, 2048.0) })
        {
            var factor = overflows && context.Rank == 1 ? 1e6f : 1e-2f;
            accelerator.Backward((model.call(ones(2, Width)) * factor).sum());
            Expect.Equal(overflows, accelerator.OptimizerStepWasSkipped, "whether the step is skipped");
            Expect.Equal(scale, accelerator.Scaler!.Scale, "the scale");
            optimizer.step();
            optimizer.zero_grad();
            foreach (var (name, value) in accelerator.GetStateDict(model)) Expect.Equal(overflows, value.allclose(before[name], 0, 0), $"{name} is as before");
        }

        accelerator.EndTraining();
    }

    internal sealed record Packed(string Name, long[] Shape, long Start, float[] Values);
}
