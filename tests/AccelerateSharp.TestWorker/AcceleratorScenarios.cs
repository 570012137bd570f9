using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>The accelerator's own operations, each against the answer that follows from rank and world size.</summary>
internal static class AcceleratorScenarios
{
    [Scenario]
    public static void Operations(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        var (rank, size) = (accelerator.ProcessIndex, accelerator.NumProcesses);
        Gathering(accelerator, rank, size);
        Reducing(accelerator, rank, size);
        Padding(accelerator, rank, size);
        Broadcasting(accelerator, rank, size);
        Triggers(accelerator, rank, size);
        Splitting(accelerator, rank, size);
        Ordering(accelerator, rank);
        accelerator.EndTraining();
        Expect.True(!PartialState.Initialized, "the state is gone after EndTraining");
    }

    /// <summary>Two models in turns, as an adversarial pair trains; one of them unused in a step; scopes without synchronisation.</summary>
    [Scenario]
    public static void TwoModelsAndNoSync(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        var (rank, size) = (accelerator.ProcessIndex, accelerator.NumProcesses);
        using var generator = new Scale(2);
        using var critic = new Scale(3);
        var (g, c) = accelerator.Prepare(generator, critic);
        var data = full(1, rank + 1f);
        var mean = (size + 1) / 2f;

        var fake = g.call(data);
        accelerator.Backward(c.call(fake.detach()).sum());
        Expect.True(g.Gradient is null, "the generator has no part in the critic's loss");
        Expect.Close(2 * mean, c.Gradient!.Value, 1e-6, "critic");
        c.ClearGradient();
        accelerator.Backward(c.call(fake).sum());
        Expect.Close(3 * mean, g.Gradient!.Value, 1e-6, "generator, by the graph of the earlier forward");
        g.ClearGradient();
        c.ClearGradient();

        using (accelerator.NoSync(g))
        {
            accelerator.Backward(g.call(data).sum());
            Expect.Close(rank + 1, g.Gradient!.Value, 1e-6, "without synchronisation the gradient is this rank's own");
        }

        accelerator.Backward(g.call(data).sum());
        Expect.Close(2 * mean, g.Gradient!.Value, 1e-6, "the next synchronised backward averages both");

        // Nothing was cleared: gradients add up, as they do on one process.
        accelerator.Backward(g.call(data).sum());
        Expect.Close(3 * mean, g.Gradient!.Value, 1e-6, "gradients that nobody cleared add up");
        accelerator.EndTraining();
    }

    [Scenario]
    public static void ForgottenBackward(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        using var scale = accelerator.Prepare(new Scale(2));
        scale.call(ones(1)).sum().backward();
        var message = Expect.Throws<InvalidOperationException>(() => scale.call(ones(1)));
        Expect.True(message.Contains("accelerator.Backward(loss)", StringComparison.Ordinal), $"the message names the fix: {message}");
        accelerator.EndTraining();
    }

    [Scenario]
    public static void ExceptionInForward(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        using var scale = accelerator.Prepare(new Scale(2));
        scale.Fail = true;
        Expect.Throws<TimeZoneNotFoundException>(() => scale.call(ones(1)));
        scale.Fail = false;
        accelerator.Backward(scale.call(ones(1)).sum());
        Expect.Close(1, scale.Gradient!.Value, 1e-6, "the step after an exception in forward");
        accelerator.EndTraining();
    }

    [Scenario]
    public static void DifferentModels(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        using var linear = nn.Linear(3, accelerator.IsMainProcess ? 4 : 5);
        var message = Expect.Throws<InvalidOperationException>(() => accelerator.Prepare(linear));
        Expect.True(message.Contains("rank 1 has 'weight Float32 [5, 3]'", StringComparison.Ordinal), $"the message names the parameter: {message}");
        accelerator.EndTraining();
    }

    private static void Gathering(Accelerator accelerator, int rank, int size)
    {
        using var mine = arange(size, dtype: ScalarType.Int64) + 1 + (size * rank);
        Expect.Equal(Enumerable.Range(1, size * size).Select(i => (long)i), accelerator.Gather(mine).data<long>().ToArray(), "gather");
        Expect.Equal([size], accelerator.Gather(tensor(3f)).shape, "gather of tensors without dimensions");
        var (first, second) = accelerator.Gather((mine, new Dictionary<string, Tensor> { ["x"] = zeros(2, 3) }));
        Expect.Equal([size * size], first.shape, "gather in a tuple");
        Expect.Equal([2 * size, 3], second["x"].shape, "gather in a dictionary");
        using var transposed = arange(6).view(2, 3).t();
        Expect.Equal([3 * size, 2], accelerator.Gather(transposed).shape, "gather of a transposed tensor");
        Expect.Equal(Enumerable.Range(0, size).Select(i => $"rank {i}"), accelerator.GatherObject<string>([$"rank {rank}"]), "gather of objects");
    }

    private static void Reducing(Accelerator accelerator, int rank, int size)
    {
        using var mine = arange(size, dtype: ScalarType.Float32) + 1 + (size * rank);
        var sums = Enumerable.Range(0, size).Select(i => Enumerable.Range(0, size).Sum(r => i + 1f + (size * r))).ToArray();
        Expect.Equal(sums, accelerator.Reduce(mine).data<float>().ToArray(), "sum");
        Expect.Equal(sums.Select(sum => sum / size), accelerator.Reduce(mine, "mean").data<float>().ToArray(), "mean");
        Expect.Equal(Enumerable.Range(0, size).Select(i => i + 1f + (size * (size - 1))), accelerator.Reduce(mine, "max").data<float>().ToArray(), "max");
        Expect.Equal(mine.data<float>().ToArray(), accelerator.Reduce(mine, "none").data<float>().ToArray(), "none is a copy");
        Expect.Close((size + 1) / 2f, accelerator.Reduce(tensor(rank + 1), "mean").item<float>(), 1e-6, "the mean of integers is a float");
    }

    private static void Padding(Accelerator accelerator, int rank, int size)
    {
        var padded = accelerator.PadAcrossProcesses(full([rank + 1, 2], 7f), padIndex: 9);
        Expect.Equal([size, 2], padded.shape, "padded shape");
        Expect.Equal(Enumerable.Range(0, size * 2).Select(i => i < (rank + 1) * 2 ? 7f : 9f), padded.data<float>().ToArray(), "padded at the end");
        var first = accelerator.PadAcrossProcesses(full([rank + 1, 2], 7f), padIndex: 9, padFirst: true);
        Expect.Equal(Enumerable.Range(0, size * 2).Select(i => i < (size - rank - 1) * 2 ? 9f : 7f), first.data<float>().ToArray(), "padded at the start");
        Expect.Equal([rank + 1], accelerator.PadAcrossProcesses(zeros(rank + 1), dim: 3).shape, "a dimension that is not there");
    }

    private static void Broadcasting(Accelerator accelerator, int rank, int size)
    {
        using var mine = full(3, (float)rank);
        accelerator.Broadcast(mine, fromProcess: size - 1);
        Expect.Equal(Enumerable.Repeat(size - 1f, 3), mine.data<float>().ToArray(), "broadcast from the last rank");
        var items = new List<string> { $"a{rank}", $"b{rank}" };
        accelerator.BroadcastObjectList(items);
        Expect.Equal(["a0", "b0"], items, "broadcast of objects");
    }

    private static void Triggers(Accelerator accelerator, int rank, int size)
    {
        Expect.True(!accelerator.CheckTrigger(), "no trigger yet");
        if (rank == size - 1) accelerator.SetTrigger();
        Expect.True(accelerator.CheckTrigger(), "one rank's trigger is everybody's");
        Expect.True(!accelerator.CheckTrigger(), "a trigger is seen once");
    }

    private static void Splitting(Accelerator accelerator, int rank, int size)
    {
        var all = Enumerable.Range(0, 17).ToList();
        var mine = accelerator.SplitBetweenProcesses(all);
        Expect.Equal(17 / size + (rank < 17 % size ? 1 : 0), mine.Count, "a share's length");
        Expect.Equal(all, accelerator.GatherObject(mine), "the shares make up the whole");
        var padded = accelerator.SplitBetweenProcesses<int>(all, applyPadding: true);
        Expect.Equal((17 + size - 1) / size, padded.Count, "padded shares are equally long");
        Expect.Equal(1L, accelerator.SplitBetweenProcesses(tensor(new float[] { 5 }), applyPadding: true).shape[0], "one row for everybody");
    }

    private static void Ordering(Accelerator accelerator, int rank)
    {
        var path = accelerator.BroadcastObject(Path.GetTempFileName());
        using (accelerator.MainProcessFirst()) File.AppendAllLines(path, [$"{rank}"]);
        accelerator.WaitForEveryone();
        Expect.True(File.ReadLines(path).First() == "0", "the main process wrote first");
        accelerator.WaitForEveryone();
        accelerator.OnMainProcess(() => File.Delete(path));
    }

    /// <summary>weight × input, with its gradient at hand.</summary>
    private sealed class Scale : nn.Module<Tensor, Tensor>
    {
        private readonly Parameter _weight;

        public Scale(float value)
            : base(nameof(Scale))
        {
            _weight = nn.Parameter(full(1, value));
            RegisterComponents();
        }

        public bool Fail { get; set; }

        public float? Gradient
        {
            get
            {
                using var gradient = _weight.grad;
                return gradient?.item<float>();
            }
        }

        public void ClearGradient() => _weight.grad = null;

        public override Tensor forward(Tensor input) => Fail ? throw new TimeZoneNotFoundException() : _weight * input;
    }
}
