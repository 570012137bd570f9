using System.Globalization;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;
using AccelerateSharp.RendezvousWorker;

// Meets the others of its job as a worker does, then waits for what the test does to it; each step is a line of output.
var worker = WorkerEnvironment.Read();
var patience = TimeSpan.FromSeconds(30);
using var store = RendezvousStore.Connect(worker, patience);
store.Join(worker.Rank);
store.WaitForAll("start", worker.Rank, worker.WorldSize, patience);
Console.WriteLine("ready " + Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
switch (args.FirstOrDefault())
{
    case "until-peer-lost":
        store.PeerLost.WaitHandle.WaitOne(patience);
        Console.WriteLine("lost " + store.PeerLostReason);
        return 3;
    case "return":
        return 0;
    case "return-without-dispose":
        Environment.Exit(0);
        return 0;
    case "until-key":
        store.Wait(args[1], patience);
        return 0;
    // Rank 1 breaks; the others notice.
    case "break" when worker.Rank == 1:
        throw new InvalidDataException("rank 1 breaks here");
    case "break":
        store.PeerLost.WaitHandle.WaitOne(patience);
        throw new PeerFailureException(store.PeerLostReason!);
    // Rank 1 has said why it ends, and does not come to an end: a large core dump is written, say.
    case "break-slowly" when worker.Rank == 1:
        AppDomain.CurrentDomain.UnhandledException += (_, _) => Thread.Sleep(Timeout.Infinite);
        throw new InvalidDataException("rank 1 breaks here");
    case "break-slowly":
        goto case "break";
    // Rank 0 is the first to end, but only because rank 1 broke: it knows before rank 1 has ended.
    case "break-late" when worker.Rank == 1:
        store.PeerLost.WaitHandle.WaitOne(patience);
        await Console.Error.WriteLineAsync("rank 1 broke");
        Environment.Exit(9);
        return 9;
    case "break-late":
        throw new PeerFailureException("rank 1 does not answer");
    // Stays until the test leaves a file: "done" for all, or "fail-GENERATION-RANK" for one.
    case "until-file":
        var generation = Environment.GetEnvironmentVariable(EnvironmentVariables.RendezvousGeneration);
        var restart = Environment.GetEnvironmentVariable(EnvironmentVariables.RestartCount);
        Console.WriteLine(FormattableString.Invariant(
            $"attempt {generation} restart {restart} rank {worker.Rank} of {worker.WorldSize} machine {worker.MachineRank} of {worker.MachineCount} pid {Environment.ProcessId}"));
        while (!File.Exists(Path.Combine(args[1], "done")))
        {
            if (File.Exists(Path.Combine(args[1], FormattableString.Invariant($"fail-{generation}-{worker.Rank}")))) return 7;
            if (store.PeerLost.WaitHandle.WaitOne(10)) throw new PeerFailureException(store.PeerLostReason!);
        }
        return 0;
    default:
        throw new ArgumentException("which scenario?");
}
