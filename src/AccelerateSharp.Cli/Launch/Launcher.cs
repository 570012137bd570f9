using System.Collections;
using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Builds once, starts the workers of this machine, and stays until they have ended.</summary>
internal static class Launcher
{
    private static readonly TimeSpan _otherMachinesPatience = TimeSpan.FromMinutes(5);

    /// <returns>The exit code: that of the worker that failed first, 128 and the signal's number where a signal ended it.</returns>
    public static int Run(LaunchOptions options)
    {
        if (OperatingSystem.IsWindows()) throw new UserErrorException("`accelerate launch` runs on Linux and macOS.");
        var events = new BlockingCollection<LaunchEvent>(); // not disposed: an output that is abandoned may still report to it
        using var signals = new SignalSource(signal => events.Add(new LaunchEvent.Signalled(signal)));
        var screen = new Screen();
        var plan = Plan(options);
        screen.Say(plan.Summary);
        if (plan.Unused is { } unused) screen.Say(unused);
        var target = TargetResolver.Resolve(options.Target, options.Arguments, signals.First);
        if (signals.Signal != 0) return 128 + signals.Signal;

        using var server = plan.HostsStore ? Serve(plan, screen) : null;
        var exitCode = plan.LocalWorldSize == 1 && Posix.IsTerminal(Posix.StandardInput) == 1
            ? RunInForeground(plan, target, server, screen, events)
            : RunInGroup(plan, target, server, screen, events);
        // Workers of other machines may still need the store that is hosted here.
        if (exitCode == 0 && plan.MachineCount > 1) server?.WaitForClients(_otherMachinesPatience);
        return exitCode;
    }

    /// <summary>Workers in a group of their own, which ends with the launcher.</summary>
    [UnsupportedOSPlatform("windows")]
    private static int RunInGroup(
        LaunchPlan plan, Target target, RendezvousServer? server, Screen screen, BlockingCollection<LaunchEvent> events)
    {
        using var group = new JobGroup();
        // Ctrl-Z stops the launcher; its workers with it.
        using var stop = PosixSignalRegistration.Create(PosixSignal.SIGTSTP, _ => group.Signal(Posix.SigTstp));
        using var go = PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ => group.Signal(Posix.SigCont));
        var alone = plan.LocalWorldSize == 1;
        var workers = Start(plan, target, server, screen, events, (program, environment) =>
            ChildProcess.Start(program.Program, program.Arguments, environment, group.Id, inheritsInput: alone, capture: !alone));
        return new Job(screen, events, group.Signal, rank => ReportOf(server, rank), plan.GracePeriod, terminalSignals: false).Supervise(workers);
    }

    /// <summary>A single worker at a terminal stays in its foreground, so that it can read from it and Ctrl-Z stops both.</summary>
    private static int RunInForeground(
        LaunchPlan plan, Target target, RendezvousServer? server, Screen screen, BlockingCollection<LaunchEvent> events)
    {
        var workers = Start(plan, target, server, screen, events, (program, environment) =>
        {
            var bound = program.BoundToParent();
            return ChildProcess.Start(bound.Program, bound.Arguments, environment, group: null, inheritsInput: true, capture: false);
        });
        return new Job(
            screen, events, signal => Posix.Kill(workers[0].ProcessId, signal), rank => ReportOf(server, rank), plan.GracePeriod, terminalSignals: true)
            .Supervise(workers);
    }

    private static List<Worker> Start(
        LaunchPlan plan, Target target, RendezvousServer? server, Screen screen, BlockingCollection<LaunchEvent> events,
        Func<Target, IEnumerable<KeyValuePair<string, string>>, ChildProcess> start)
    {
        var endpoint = plan.NeedsStore ? EndpointOf(plan, server) : null;
        var workers = new List<Worker>();
        for (var localRank = 0; localRank < plan.LocalWorldSize; localRank++)
        {
            var worker = plan.WorkerAt(localRank, endpoint);
            workers.Add(new Worker(worker.Rank, start(target, EnvironmentOf(plan, worker)), screen, happened => events.Add(happened)));
        }
        return workers;
    }

    private static string EndpointOf(LaunchPlan plan, RendezvousServer? server)
    {
        var host = plan.MachineCount == 1 ? "127.0.0.1"
            : plan.MasterAddress.Contains(':', StringComparison.Ordinal) ? $"[{plan.MasterAddress}]" : plan.MasterAddress;
        return string.Create(CultureInfo.InvariantCulture, $"{host}:{server?.Port ?? plan.MasterPort}");
    }

    private static LaunchPlan Plan(LaunchOptions options)
    {
        try
        {
            return LaunchPlan.Make(options, new EnvironmentReader(), Hardware.GpuCount(), Hardware.PhysicalCoreCount());
        }
        catch (InvalidOperationException e)
        {
            throw new UserErrorException(e.Message);
        }
    }

    private static RendezvousServer Serve(LaunchPlan plan, Screen screen)
    {
        var isSingleMachine = plan.MachineCount == 1;
        try
        {
            return RendezvousServer.Start(new RendezvousServerOptions
            {
                Token = plan.Token,
                WorldSize = plan.WorldSize,
                Address = isSingleMachine ? IPAddress.Loopback : Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any,
                // On one machine MASTER_PORT stays free for programs that open a store of their own there.
                Port = isSingleMachine ? 0 : plan.MasterPort,
                Log = line => screen.Say("accelerate: " + line),
            });
        }
        catch (RendezvousException e)
        {
            throw new UserErrorException(e.Message);
        }
    }

    private static Dictionary<string, string> EnvironmentOf(LaunchPlan plan, WorkerEnvironment worker)
    {
        var variables = new Dictionary<string, string>();
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables()) variables[(string)variable.Key] = (string?)variable.Value ?? "";
        // What another launcher above us said about its own store is not for our workers.
        variables.Remove(EnvironmentVariables.RendezvousEndpoint);
        foreach (var (name, value) in plan.Variables) variables[name] = value;
        foreach (var (name, value) in worker.ToVariables()) variables[name] = value;
        return variables;
    }

    private static FailureReport? ReportOf(RendezvousServer? server, int rank) => server?.FailureOf(generation: 0, rank);
}
