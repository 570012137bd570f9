using System.Collections.Concurrent;
using System.Security.Cryptography;
using AccelerateSharp.Cli.Launch.Affinity;
using AccelerateSharp.Cli.Launch.Decisions;
using AccelerateSharp.Cli.Launch.Logs;
using AccelerateSharp.Cli.Launch.Machines;
using AccelerateSharp.Cli.Launch.Mpi;
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
        var screen = new Screen(options.Quiet);
        var settings = Checked(() => ExecutionSettings.Resolve(options, new EnvironmentReader()));
        if (settings.Machines is { } machines) options = options with { MachineCount = machines.Value.Max };
        var mpi = settings.MpiHostFile is null ? null : new MpiJob(settings);
        var plan = mpi is null ? Plan(options, new EnvironmentReader()) : Plan(mpi.Complete(options), MpiJob.WithToken());
        if (options.DryRun) return DryRun.Show(options, plan, settings, mpi, Console.Out);
        screen.Note(plan.Summary);
        foreach (var note in (IEnumerable<string>)[.. plan.Notes, .. settings.Notes]) screen.Note(note);
        var target = TargetResolver.Resolve(options.Target, options.Arguments, options.IsProgram, signals.First);
        if (signals.Signal != 0) return 128 + signals.Signal;

        var runId = settings.RunId ?? RandomNumberGenerator.GetHexString(8, lowercase: true);
        var logs = settings.Tee.IsAny ? JobLogs.Create(settings.LogFolder, runId, settings.Tee) : null;
        if (logs is not null) screen.Note($"What the workers print is kept in {logs.Folder}.");
        if (mpi is not null) return mpi.Run(plan, target, screen, events, logs);
        var binding = settings.CpuAffinity.Value ? Bind(plan) : null;
        if (binding is not null) screen.Note(binding.Summary);
        using var formation = Form(options, plan, settings, runId, screen, events, signals);
        var attempts = new Attempts(plan, settings, target, formation, screen, events, logs, binding);
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

    private static CpuBinding Bind(LaunchPlan plan)
    {
        var visible = plan.Variables.GetValueOrDefault(EnvironmentVariables.CudaVisibleDevices) ?? Environment.GetEnvironmentVariable(EnvironmentVariables.CudaVisibleDevices);
        return ThreadAffinity.Get() is { } allowed
            ? CpuBinding.Make(new NumaTopology(), allowed, plan.LocalWorldSize, plan.OnGpu, visible)
            : new CpuBinding(new CpuSet?[plan.LocalWorldSize], "--enable_cpu_affinity has no effect: this system binds no process to CPUs.");
    }

    private static LaunchPlan Plan(LaunchOptions options, EnvironmentReader environment) =>
        Checked(() => LaunchPlan.Make(options, environment, Hardware.GpuCount(), Hardware.PhysicalCoreCount()));

    /// <summary>A variable that cannot be read is the user's to correct.</summary>
    private static T Checked<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException e)
        {
            throw new UserErrorException(e.Message);
        }
    }
}
