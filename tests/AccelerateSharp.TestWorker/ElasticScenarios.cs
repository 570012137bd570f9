using AccelerateSharp.Launch;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>What a job does that may lose machines: collectives, until the test has seen enough.</summary>
internal static class ElasticScenarios
{
    /// <summary>Prints the sum over all ranks once, then goes on summing until rank 0 finds the file "done" in the folder of the first argument.</summary>
    [Scenario]
    public static void SumUntilDone(WorkerContext context)
    {
        var accelerator = new Accelerator(cpu: true);
        var worker = WorkerEnvironment.Read();
        using var mine = full(4, accelerator.ProcessIndex + 1f);
        using var all = accelerator.Reduce(mine, "sum");
        Console.WriteLine(FormattableString.Invariant(
            $"generation {worker.Generation} rank {worker.Rank} of {worker.WorldSize} machine {worker.MachineRank} sum {all.sum().item<float>()} pid {Environment.ProcessId}"));
        var done = Path.Combine(context.Arguments[0], "done");
        while (true)
        {
            using var seen = full(1, accelerator.IsMainProcess && File.Exists(done) ? 1f : 0f);
            using var agreed = accelerator.Reduce(seen, "sum");
            if (agreed.item<float>() > 0) break;
            Thread.Sleep(2);
        }
        accelerator.EndTraining();
    }
}
