using System.Collections.Concurrent;
using System.Security.Cryptography;
using AccelerateSharp.Cli.Launch.Logs;
using AccelerateSharp.Cli.Launch.Machines;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Builds once, starts the workers of this machine, and stays until they have ended.</summary>
internal static class Launcher
{
    /// <returns>The exit code: that of the worker that failed first, 128 and the signal's number where a signal ended it.</returns>
    public static int Run(LaunchOptions options)
    {
        if (OperatingSystem.IsWindows()) throw new UserErrorException("`accelerate launch` runs on Linux and macOS.");
        var events = new BlockingCollection<LaunchEvent>(); // not disposed: an output that is abandoned may still report to it
        using var signals = new SignalSource(signal => events.Add(new LaunchEvent.Signalled(signal)));
        var screen = new Screen();
        var settings = ExecutionSettings.Resolve(options);
        var plan = Plan(settings.Machines is { } machines ? options with { MachineCount = machines.Value.Max } : options);
        screen.Say(plan.Summary);
        if (plan.Unused is { } unused) screen.Say(unused);
        foreach (var note in settings.Notes) screen.Say(note);
        var target = TargetResolver.Resolve(options.Target, options.Arguments, signals.First);
        if (signals.Signal != 0) return 128 + signals.Signal;

        var runId = settings.RunId ?? RandomNumberGenerator.GetHexString(8, lowercase: true);
        var logs = settings.Tee.IsAny ? JobLogs.Create(settings.LogFolder, runId, settings.Tee) : null;
        if (logs is not null) screen.Say($"What the workers print is kept in {logs.Folder}.");
        using var formation = Form(options, plan, settings, runId, screen, events, signals);
        var attempts = new Attempts(plan, settings, target, formation, screen, events, logs);
        while (formation.Next() is { } round)
        {
            if (formation.ExitCodeAfter(round, attempts.Run(round)) is { } exitCode) return exitCode;
        }
        return formation.ExitCode;
    }

    private static IFormation Form(
        LaunchOptions options, LaunchPlan plan, ExecutionSettings settings, string runId, Screen screen, BlockingCollection<LaunchEvent> events, SignalSource signals)
    {
        try
        {
            return plan.MachineCount == 1
                ? new LocalFormation(plan, settings, runId, screen)
                : MachineJob.Join(plan, settings, options.MachineRank, runId, screen, events, signals);
        }
        catch (RendezvousException e)
        {
            throw new UserErrorException(e.Message);
        }
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
}
