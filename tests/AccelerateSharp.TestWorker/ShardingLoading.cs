using System.Globalization;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.TestWorker;

/// <summary>Models whose weights are on rank 0 alone, or in a file, when they are sharded.</summary>
internal static class ShardingLoading
{
    private const int Units = 16;

    /// <summary>Argument: the width; the model has 16 square matrices of it. What all ranks together need stays under twice the model.</summary>
    [Scenario]
    public static void ShardingRamEfficient(WorkerContext context)
    {
        var width = long.Parse(context.Arguments[0], CultureInfo.InvariantCulture);
        var accelerator = Start(plugin => plugin);
        using (NewDisposeScope()) randn(64, 64).mm(randn(64, 64));
        var bytes = Units * width * width * sizeof(float);
        var before = StartMeasuring();
        var built = context.Rank == 0 ? new Squares(width) : BigModeling.InitEmptyWeights(() => new Squares(width));
        Expect.True(built.parameters().All(parameter => parameter.is_meta == (context.Rank > 0)), "other ranks than 0 have no values");
        var expected = accelerator.ProcessGroup!.BroadcastObject(context.Rank == 0 ? Sums(built) : [], 0);
        var model = accelerator.Prepare(built);
        var peak = Status("VmHWM") - before;
        var peaks = accelerator.ProcessGroup.AllGatherObject(peak);
        Console.WriteLine($"model {bytes >> 20} MiB, at most {string.Join(" + ", peaks.Select(item => item >> 20))} = {peaks.Sum() >> 20} MiB");
        Expect.True(peaks.Sum() < 2 * bytes, $"all ranks together held {peaks.Sum()} bytes at most, of a model of {bytes}");
        // Their part of the model, the unit on its way, and what was allocated besides.
        Expect.True(peaks.Skip(1).All(item => item < (bytes / context.Size) + (3 * bytes / Units) + (32 << 20)), "one unit besides their part on other ranks");
        Expect.Equal(expected, SumsOfAll(accelerator, model), "sums of the weights");
        accelerator.EndTraining();
    }

    /// <summary>A model that has no values anywhere: told so, filled from a file, or made in place.</summary>
    [Scenario]
    public static void ShardingFromFile(WorkerContext context)
    {
        const int width = 16;
        var folder = Path.Combine(Environment.GetEnvironmentVariable("TEST_FOLDER")!, "weights");
        Accelerator.SetSeed(11);
        using var whole = new Squares(width);
        if (context.Rank == 0) SafetensorsCheckpoint.Save(whole.state_dict(), folder);
        var accelerator = Start(plugin => plugin);
        var empty = BigModeling.InitEmptyWeights(() => new Squares(width));
        // Made before: it has to find its parameters again.
        using var made = optim.AdamW(empty.parameters(), lr: 1e-2);
        var (model, optimizer) = accelerator.Prepare(empty, made);
        var message = Expect.Throws<InvalidOperationException>(() => model.call(ones(2, width)));
        Expect.True(message.Contains("LoadCheckpoint", StringComparison.Ordinal), message);
        message = Expect.Throws<IOException>(() => accelerator.LoadCheckpoint(model, folder + "-lost"));
        Expect.True(message.Contains("-lost", StringComparison.Ordinal), message);
        accelerator.LoadCheckpoint(model, folder);
        using var plain = optim.AdamW(whole.parameters(), lr: 1e-2);
        for (var step = 0; step < 3; step++)
        {
            using var scope = NewDisposeScope();
            var input = full(2, width, 0.1f * (step + 1));
            plain.zero_grad();
            var expected = whole.call(input).pow(2).mean();
            expected.backward();
            plain.step();
            optimizer.zero_grad();
            var loss = model.call(input).pow(2).mean();
            accelerator.Backward(loss);
            optimizer.step();
            Expect.Close(expected.item<float>(), loss.item<float>(), 1e-5, $"loss of step {step} after loading from a file");
        }

        accelerator.FreeMemory();
        MadeInPlace(context);
        accelerator.EndTraining();
    }

    private static void MadeInPlace(WorkerContext context)
    {
        var accelerator = Start(plugin => plugin with
        {
            // Two groups: the ranks that hold the same part have to agree.
            ShardingStrategy = context.Size == 4 ? ShardingStrategy.HybridShard : ShardingStrategy.FullShard,
            ShardGroupSize = context.Size == 4 ? 2 : null,
            ParamInitFn = (name, part) => init.constant_(part, name.EndsWith("weight", StringComparison.Ordinal) ? 0.5 + context.Rank : 0),
        });
        var model = accelerator.Prepare(BigModeling.InitEmptyWeights(() => new Squares(4)));
        var weights = accelerator.GetStateDict(model);
        if (context.Rank == 0)
        {
            var matrix = weights["_layers.0._linear.weight"].data<float>().ToArray();
            Expect.Equal(context.Size == 1 ? [0.5f] : (float[])[0.5f, 1.5f], matrix.Distinct(), "values made by the first row of ranks");
        }

        accelerator.FreeMemory();
    }

    private static Accelerator Start(Func<FullyShardedDataParallelPlugin, FullyShardedDataParallelPlugin> change) =>
        new(cpu: true, fsdpPlugin: change(new FullyShardedDataParallelPlugin { CpuRamEfficientLoading = true, AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap }));

    /// <summary>From here on the high-water mark counts; returns what is resident now.</summary>
    private static long StartMeasuring()
    {
        GC.Collect();
        File.WriteAllText("/proc/self/clear_refs", "5");
        return Status("VmRSS");
    }

    private static long Status(string name) =>
        long.Parse(File.ReadLines("/proc/self/status").First(line => line.StartsWith(name, StringComparison.Ordinal)).Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;

    /// <summary>Rounded, because the ranks add in another order.</summary>
    private static double[] Sums(Module model) => [.. model.parameters().Select(Sum).Select(Rounded)];

    private static double[] SumsOfAll(Accelerator accelerator, Module model)
    {
        var mine = model.parameters().Select(Sum).ToArray();
        var all = accelerator.ProcessGroup!.AllGatherObject(mine);
        return [.. mine.Select((_, i) => Rounded(all.Sum(sums => sums[i])))];
    }

    private static double Sum(Parameter parameter)
    {
        // A handle that is left over would keep the whole weight.
        using var scope = NewDisposeScope();
        return parameter.detach().sum(ScalarType.Float64).item<double>();
    }

    private static double Rounded(double value) => Math.Round(value, 4);

    private sealed class Square : Module<Tensor, Tensor>
    {
        private readonly Linear _linear;

        public Square(long width)
            : base(nameof(Square))
        {
            _linear = Linear(width, width, hasBias: false);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => input + _linear.call(input);
    }

    private sealed class Squares : Module<Tensor, Tensor>
    {
        private readonly ModuleList<Square> _layers;

        public Squares(long width)
            : base(nameof(Squares))
        {
            _layers = new ModuleList<Square>([.. Enumerable.Range(0, Units).Select(_ => new Square(width))]);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            foreach (var layer in _layers) input = layer.call(input);
            return input;
        }
    }
}
