using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>A line fitted to points, end to end: loader, accumulation, clipping, scheduler. The numbers are those of the reference.</summary>
internal static class RegressionScenarios
{
    private sealed record Case(
        string Name, int Samples, int BatchSize, bool PerRank = true, bool Split = false, bool Dispatch = false, int Accumulation = 1,
        double Clip = 0, bool Schedule = false)
    {
        /// <summary>a and b after three epochs on 1, 2 and 4 processes.</summary>
        public required (double A, double B)[] Expected { get; init; }

        public double[] ExpectedLearningRate { get; init; } = [];
    }

    private static readonly Case[] _cases =
    [
        new("A", 32, 8) { Expected = [(0.978104, 2.916203), (0.978104, 2.916203), (0.978104, 2.916203)] },
        new("B split", 32, 8, PerRank: false, Split: true) { Expected = [(0.978104, 2.916203), (0.978104, 2.916203), (0.978104, 2.916203)] },
        new("C accumulation 2", 32, 4, PerRank: false, Accumulation: 2) { Expected = [(0.978104, 2.916203), (0.599825, 2.252104), (0.332268, 1.432436)] },
        new("D clipped", 32, 8, Clip: 1.0) { Expected = [(-0.008011, 1.066949), (-0.008011, 1.066949), (-0.008011, 1.066949)] },
        new("E scheduled", 32, 8, Schedule: true)
        {
            Expected = [(0.013557, 1.244932), (-0.089061, 0.882324), (-0.149004, 0.627318)],
            ExpectedLearningRate = [0.1 / 13, 0.1 / 25, 0.1 / 49],
        },
        new("F uneven last batch", 30, 8) { Expected = [(0.893509, 2.901414), (0.802265, 2.701588), (0.802265, 2.701588)] },
        new("G split, accumulation 3", 30, 8, PerRank: false, Split: true, Accumulation: 3) { Expected = [(0.342767, 1.716647), (0.240855, 1.590030), (0.240855, 1.590030)] },
        new("H dispatched", 30, 8, Dispatch: true) { Expected = [(0.893509, 2.901414), (0.893509, 2.901414), (0.802265, 2.701588)] },
    ];

    [Scenario]
    public static void RegressionVectors(WorkerContext context)
    {
        foreach (var point in _cases) Fit(point);
        new Accelerator(cpu: true).EndTraining();
    }

    private static void Fit(Case point)
    {
        var accelerator = new Accelerator(
            cpu: true,
            gradientAccumulationSteps: point.Accumulation,
            dataLoaderConfiguration: new DataLoaderConfiguration { SplitBatches = point.Split, DispatchBatches = point.Dispatch });
        var (x, y) = Points(point.Samples);
        using var line = new Line();
        using var sgd = optim.SGD(line.parameters(), 0.1);
        var batchSize = point.PerRank ? point.BatchSize / accelerator.NumProcesses : point.BatchSize;
        var (model, optimizer, loader, scheduler) = accelerator.Prepare(
            line, sgd, BatchLoader.FromTensors(x, y, batchSize), optim.lr_scheduler.LambdaLR(sgd, step => 1.0 / (1 + step)));
        for (var epoch = 0; epoch < 3; epoch++)
        {
            foreach (var (inputs, targets) in loader)
            {
                using var window = accelerator.Accumulate(model);
                accelerator.Backward(nn.functional.mse_loss(model.call(inputs), targets));
                if (point.Clip > 0 && accelerator.SyncGradients) accelerator.ClipGradNorm(model.parameters(), point.Clip).Dispose();
                optimizer.step();
                if (point.Schedule) scheduler.step();
                optimizer.zero_grad();
            }
        }

        var column = accelerator.NumProcesses switch { 1 => 0, 2 => 1, _ => 2 };
        Expect.Close(point.Expected[column].A, line.A, 2e-6, $"case {point.Name}: a");
        Expect.Close(point.Expected[column].B, line.B, 2e-6, $"case {point.Name}: b");
        if (point.ExpectedLearningRate.Length > 0)
            Expect.Close(point.ExpectedLearningRate[column], optimizer.ParamGroups.First().LearningRate, 1e-9, $"case {point.Name}: learning rate");
        accelerator.FreeMemory();
    }

    private static (Tensor X, Tensor Y) Points(int samples)
    {
        var x = Enumerable.Range(0, samples).Select(i => (i - 16) / 16f).ToArray();
        var y = Enumerable.Range(0, samples).Select(i => (2 * x[i]) + 3f + (0.1f * ((7 * i % 5) - 2))).ToArray();
        return (tensor(x), tensor(y));
    }

    private sealed class Line : nn.Module<Tensor, Tensor>
    {
        private readonly Parameter _a = nn.Parameter(zeros(1));
        private readonly Parameter _b = nn.Parameter(zeros(1));

        public Line()
            : base(nameof(Line)) => RegisterComponents();

        public double A => _a.item<float>();

        public double B => _b.item<float>();

        public override Tensor forward(Tensor x) => (_a * x) + _b;
    }
}
