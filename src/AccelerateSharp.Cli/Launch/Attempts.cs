using System.Collections;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using AccelerateSharp.Cli.Launch.Affinity;
using AccelerateSharp.Cli.Launch.Logs;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Runs the workers of this machine, once for each attempt of the job.</summary>
/// <param name="plan">What is started.</param>
/// <param name="settings">How.</param>
/// <param name="target">The program.</param>
/// <param name="formation">Knows the store, and has to know what happens.</param>
/// <param name="screen">Where everything is printed.</param>
/// <param name="events">What happens.</param>
/// <param name="logs">The files for what workers print; null for none.</param>
/// <param name="binding">The CPUs of each worker; null where they stay where the launcher is.</param>
[UnsupportedOSPlatform("windows")]
internal sealed class Attempts(
    LaunchPlan plan, ExecutionSettings settings, Target target, IFormation formation, Screen screen, BlockingCollection<LaunchEvent> events, JobLogs? logs,
    CpuBinding? binding)
{
    /// <summary>Starts the workers of an attempt and stays until they have ended.</summary>
    public JobEnd Run(Round round) =>
        round.LocalWorldSize == 1 && logs is null && Posix.IsTerminal(Posix.StandardInput) == 1 ? RunInForeground(round) : RunInGroup(round);

    /// <summary>Workers in a group of their own, which ends with the launcher.</summary>
    private JobEnd RunInGroup(Round round)
    {
        using var group = new JobGroup();
        // Ctrl-Z stops the launcher; its workers with it.
        using var stop = PosixSignalRegistration.Create(PosixSignal.SIGTSTP, _ => group.Signal(Posix.SigTstp));
        using var go = PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ => group.Signal(Posix.SigCont));
        var alone = round.LocalWorldSize == 1;
        var workers = Start(round, (program, environment, cpus) =>
            ChildProcess.Start(program.Program, program.Arguments, environment, group.Id, inheritsInput: alone, capture: !alone || logs is not null, cpus: cpus));
        return Job(round, group.Signal, terminalSignals: false).Supervise(workers);
    }

    /// <summary>A single worker at a terminal stays in its foreground, so that it can read from it and Ctrl-Z stops both.</summary>
    private JobEnd RunInForeground(Round round)
    {
        var workers = Start(round, (program, environment, cpus) =>
        {
            var bound = program.BoundToParent();
            return ChildProcess.Start(bound.Program, bound.Arguments, environment, group: null, inheritsInput: true, capture: false, cpus: cpus);
        });
        return Job(round, signal => Posix.Kill(workers[0].ProcessId, signal), terminalSignals: true).Supervise(workers);
    }

    private Job Job(Round round, Action<int> signal, bool terminalSignals) =>
        new(screen, events, signal, rank => formation.FailureOf(round.Generation, rank), plan.GracePeriod, terminalSignals, formation.News);

    private List<Worker> Start(Round round, Func<Target, IEnumerable<KeyValuePair<string, string>>, CpuSet?, ChildProcess> start)
    {
        var workers = new List<Worker>();
        for (var localRank = 0; localRank < round.LocalWorldSize; localRank++)
        {
            var process = start(target, EnvironmentOf(round, localRank), binding?.Cpus[localRank]);
            var (output, error) = logs?.Open(round.Generation, localRank) ?? default;
            workers.Add(new Worker(new WorkerName(round.FirstRank + localRank, settings.Role), process, screen, (output, error), events.Add));
        }
        return workers;
    }

    private Dictionary<string, string> EnvironmentOf(Round round, int localRank)
    {
        var variables = new Dictionary<string, string>();
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables()) variables[(string)variable.Key] = (string?)variable.Value ?? "";
        // What another launcher above us said about its own store is not for our workers.
        variables.Remove(EnvironmentVariables.RendezvousEndpoint);
        foreach (var (name, value) in WorkerVariables.Of(plan, settings, round, localRank, formation.StoreEndpoint)) variables[name] = value;
        return variables;
    }
}
