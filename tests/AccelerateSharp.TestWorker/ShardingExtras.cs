using System.Text.Json;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>Settings of sharded training besides strategy and precision.</summary>
internal static class ShardingExtras
{
    private const int Width = 16;

    [Scenario]
    public static void ShardingSettings(WorkerContext context)
    {
        LeavesModulesOut(context);
        KnowsOrigParams();
        RecordsATimeline(context);
        ComputesAgainWhatItWasTold(context);
        new Accelerator(cpu: true).EndTraining();
    }

    /// <summary>An ignored module is whole on every rank, its gradient is each rank's own; the rest is divided.</summary>
    private static void LeavesModulesOut(WorkerContext context)
    {
        Accelerator.SetSeed(3);
        var stack = new ShardingModels.Stack(2);
        var head = (Linear)stack.named_modules().First(item => item.name == "_layers_head").module;
        var accelerator = new Accelerator(cpu: true, fsdpPlugin: new() { WrapWhere = ShardingModels.IsUnit, IgnoredModules = [head] });
        var model = accelerator.Prepare(stack);
        var input = randn(4, Width) + context.Rank;
        accelerator.Backward(model.call(input).sum());
        Expect.Equal([1L, Width], head.weight!.shape, "shape of an ignored weight");
        using var sums = head.weight.grad!.sum();
        var all = accelerator.ProcessGroup!.AllGatherObject(sums.item<float>());
        Expect.True(all[0] != all[1], "an ignored module's gradient is not averaged");
        Expect.True(model.parameters().Where(parameter => !ReferenceEquals(parameter, head.weight) && !ReferenceEquals(parameter, head.bias)).All(parameter => parameter.dim() == 1), "the rest is divided");
        accelerator.FreeMemory();
    }

    /// <summary>use_orig_params: with it a unit may be partly frozen; without it that is refused, and anything else is the same.</summary>
    private static void KnowsOrigParams()
    {
        var accelerator = new Accelerator(cpu: true, fsdpPlugin: new() { WrapWhere = ShardingModels.IsUnit, UseOrigParams = false });
        var message = Expect.Throws<ArgumentException>(() => accelerator.Prepare(new ShardingModels.Stack(2, adapters: true)));
        Expect.True(message.Contains("use_orig_params", StringComparison.Ordinal) && message.Contains("_blocks.0", StringComparison.Ordinal), message);
        var losses = new List<float>();
        foreach (var original in (bool[])[true, false])
        {
            Accelerator.SetSeed(4);
            var one = new Accelerator(cpu: true, fsdpPlugin: new() { WrapWhere = ShardingModels.IsUnit, UseOrigParams = original });
            var model = one.Prepare(new ShardingModels.Stack(2));
            var optimizer = one.Prepare(optim.SGD([
                new SGD.ParamGroup(model.named_parameters().Where(item => item.name.EndsWith("bias", StringComparison.Ordinal)).Select(item => item.parameter), new SGD.Options { LearningRate = 0.2 }),
                new SGD.ParamGroup(model.named_parameters().Where(item => !item.name.EndsWith("bias", StringComparison.Ordinal)).Select(item => item.parameter)),
            ], 0.1));
            for (var step = 0; step < 3; step++)
            {
                var loss = model.call(ones(2, Width)).pow(2).mean();
                one.Backward(loss);
                optimizer.step();
                optimizer.zero_grad();
                losses.Add(loss.item<float>());
            }

            one.FreeMemory();
        }

        Expect.Equal(losses.Take(3), losses.Skip(3), "losses with and without use_orig_params");
    }

    private static void RecordsATimeline(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true, fsdpPlugin: new() { WrapWhere = ShardingModels.IsUnit });
        Expect.Throws<InvalidOperationException>(() => accelerator.RecordTimeline("nothing.json"));
        var model = accelerator.Prepare(new ShardingModels.Stack(3));
        var path = Path.Combine(Environment.GetEnvironmentVariable("TEST_FOLDER")!, "trace.json");
        for (var step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            using var recording = step == 2 ? accelerator.RecordTimeline(path) : null;
            accelerator.Backward(model.call(ones(2, Width)).sum());
        }

        using var trace = JsonDocument.Parse(File.ReadAllText(Path.ChangeExtension(path, $"rank{context.Rank}.json")));
        var events = trace.RootElement.GetProperty("traceEvents").EnumerateArray().ToList();
        // Three blocks and the model itself; the last block and the model are not gathered again for backward.
        foreach (var (kind, count) in ((string, int)[])[("forward", 3), ("backward", 3), ("gather", 6), ("reduce", 4)])
            Expect.Equal(count, events.Count(item => item.GetProperty("cat").GetString() == kind), $"{kind} events of a step");
        Expect.True(events.All(item => item.GetProperty("ph").GetString() == "X" && item.GetProperty("dur").GetDouble() >= 0 && item.GetProperty("pid").GetInt32() == context.Rank), "complete events of this rank");
        Expect.True(events.Any(item => item.GetProperty("name").GetString() == "gather _blocks.1"), "units by name");
        var other = trace.RootElement.GetProperty("otherData");
        Expect.True(other.GetProperty("gather_us").GetDouble() >= other.GetProperty("gather_under_compute_us").GetDouble(), "no more is overlapped than there is");
        accelerator.FreeMemory();
    }

    /// <summary>Activation checkpointing switched on after Prepare, and by the plugin of a model without units: the same gradients, and no more memory.</summary>
    private static void ComputesAgainWhatItWasTold(WorkerContext context)
    {
        ComputesAgain(context, new() { WrapWhere = ShardingModels.IsUnit }, model => Expect.Equal(3, ActivationCheckpointing.Apply(model), "blocks"));
        ComputesAgain(context, new() { AutoWrapPolicy = AutoWrapPolicy.NoWrap, ActivationCheckpointing = true }, static _ => { });
    }

    private static void ComputesAgain(WorkerContext context, FullyShardedDataParallelPlugin plugin, Action<nn.Module> change)
    {
        var gradients = new List<List<Tensor>>();
        foreach (var checkpoint in (bool[])[false, true])
        {
            Accelerator.SetSeed(6);
            var accelerator = new Accelerator(cpu: true, fsdpPlugin: checkpoint ? plugin : plugin with { ActivationCheckpointing = null });
            var model = accelerator.Prepare(new ShardingModels.Stack(3));
            if (checkpoint) change(model);
            for (var step = 0; step < 2; step++)
            {
                foreach (var parameter in model.parameters()) parameter.grad = null;
                accelerator.Backward(model.call(ones(2, Width) * (1 + context.Rank)).pow(2).mean());
            }

            gradients.Add([.. model.parameters().Select(parameter => parameter.grad?.clone()).OfType<Tensor>()]);
            var unit = accelerator.EngineOf(model)!;
            Expect.True(unit.PeakGatheredBytes <= unit.Units.Where(item => item.Index is 0 or 1 or 2).Sum(item => item.Flats.Sum(flat => flat.Count)) * sizeof(float), "the model's own and two units");
            accelerator.FreeMemory();
        }

        foreach (var (plain, again) in gradients[0].Zip(gradients[1])) Expect.True(plain.eq(again).all().item<bool>(), "gradients are the same to the last bit");
    }
}
