using System.Globalization;
using AccelerateSharp.Cli.Launch.Decisions;
using AccelerateSharp.Cli.Launch.Sections;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What is going to be started on this machine, and why.</summary>
internal sealed record LaunchPlan
{
    public required int WorldSize { get; init; }

    public required int LocalWorldSize { get; init; }

    public required int MachineCount { get; init; }

    public required int MachineRank { get; init; }

    public required string MasterAddress { get; init; }

    public required int MasterPort { get; init; }

    /// <summary>The secret of the job.</summary>
    public required string Token { get; init; }

    /// <summary>What was decided and where each value came from, in a line.</summary>
    public required string Summary { get; init; }

    /// <summary>Every decision.</summary>
    public required IReadOnlyList<Decision> Decisions { get; init; }

    /// <summary>Lines for the user: what was asked for and is not done.</summary>
    public required IReadOnlyList<string> Notes { get; init; }

    /// <summary>Whether the workers compute on GPUs.</summary>
    public required bool OnGpu { get; init; }

    /// <summary>How long workers that were asked to end may take, before they are killed.</summary>
    public required TimeSpan GracePeriod { get; init; }

    /// <summary>Variables that are the same for all workers.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>Whether the workers of this job need to find each other.</summary>
    public bool NeedsStore => WorldSize > 1;

    public static LaunchPlan Make(LaunchOptions options, EnvironmentReader environment, int gpuCount, int physicalCores)
    {
        var settings = LaunchSettings.Resolve(options, environment);
        var (machines, rank) = (settings.MachineCount.Value, settings.MachineRank.Value);
        if (machines < 1) throw new UserErrorException($"{settings.MachineCount}: there is at least one machine.");
        if (rank < 0 || rank >= machines)
            throw new UserErrorException($"{settings.MachineRank} is not below {settings.MachineCount}: machines count from 0.");
        var onGpu = !settings.Cpu.Value && gpuCount > 0;
        var processes = ProcessCount.Decide(settings, environment, onGpu, gpuCount);
        if (machines > 1 && settings.MainProcessAddress is null)
            throw new UserErrorException($"{settings.MachineCount} needs --main_process_ip: the address of the machine of rank 0.");
        settings.Sections.CheckProcesses(processes.World);

        var threads = Threads(options, environment, Math.Max(1, physicalCores / processes.Local), $"{physicalCores} physical core(s) / {processes.Local}");
        var port = PortChoice.Decide(settings);
        var variables = new Dictionary<string, string>(settings.Sections.Variables)
        {
            [EnvironmentVariables.UseCpu] = settings.Cpu.Value ? "True" : "False",
            [EnvironmentVariables.MixedPrecision] = settings.MixedPrecision.Value,
            [EnvironmentVariables.OmpThreads] = threads.Value.ToString(CultureInfo.InvariantCulture),
        };
        if (settings.Debug is { } debug) variables[EnvironmentVariables.DebugMode] = debug.Value ? "true" : "false";
        if (onGpu && settings.GpuIds is { } ids) variables[EnvironmentVariables.CudaVisibleDevices] = ids.Value;
        var (device, deviceSource) = onGpu ? settings.GpuIds is { } chosen ? ($"GPU {chosen.Value}", chosen.Source) : ("GPU", "found on this machine")
            : settings.Cpu.Value ? ("CPU", settings.Cpu.Source) : ("CPU", "no GPU found");
        var master = machines > 1 ? settings.MainProcessAddress! : settings.MainProcessAddress ?? SettingReader.Default("--main_process_ip", "127.0.0.1");
        var place = machines > 1
            ? $", {processes.Local} of them here on machine {rank} ({settings.MachineRank.Source}) of {machines} ({settings.MachineCount.Source}), rank 0 at {master.Value} ({master.Source})"
            : "";
        var paradigm = settings.Sections.Paradigm is { Value: not Paradigm.DataParallel } way ? $" with {way.Value.NameOf()} ({way.Source})" : "";
        var checks = settings.Debug is { Value: true } ? $", checked collectives ({settings.Debug.Source})" : "";
        return new LaunchPlan
        {
            WorldSize = processes.World,
            LocalWorldSize = processes.Local,
            MachineCount = machines,
            MachineRank = rank,
            MasterAddress = master.Value,
            MasterPort = port.Value,
            Token = SecretOf(environment, machines, options.DryRun),
            GracePeriod = options.GracePeriod,
            OnGpu = onGpu,
            Variables = variables,
            Notes = settings.Notes,
            Decisions =
            [
                new("num_processes", processes.World.ToString(CultureInfo.InvariantCulture), processes.Source),
                new("device", device, deviceSource),
                .. settings.Sections.Decisions,
                settings.MixedPrecision.As("mixed_precision"),
                (settings.Debug ?? SettingReader.Default("--debug", value: false)).As("debug"),
                threads.As("num_cpu_threads_per_process"),
                settings.MachineCount.As("num_machines"),
                settings.MachineRank.As("machine_rank"),
                master.As("main_process_ip"),
                port.As("main_process_port"),
            ],
            Summary = $"Launching {processes.World} process{(processes.World == 1 ? "" : "es")} ({processes.Source}) on {(onGpu && settings.GpuIds is null ? device : $"{device} ({deviceSource})")}{place}{paradigm}; "
                + $"mixed precision {settings.MixedPrecision.Value} ({settings.MixedPrecision.Source}){checks}, {threads.Value} CPU thread(s) each ({threads.Source})"
                + $"{(port.IsDefault ? "" : $", port {port.Value} ({port.Source})")}.",
        };
    }

    private static Setting<int> Threads(LaunchOptions options, EnvironmentReader environment, int share, string shareOf)
    {
        if (options.ThreadsPerProcess is < 1) throw new UserErrorException($"--num_cpu_threads_per_process {options.ThreadsPerProcess}: a process has at least one thread.");
        if (SettingReader.Typed("--num_cpu_threads_per_process", options.ThreadsPerProcess) is { } typed) return typed;
        return environment.FirstNumber(EnvironmentVariables.OmpThreads) is { Value: > 0 } given
            ? new(given.Value, $"from {EnvironmentVariables.OmpThreads}", $"{given}")
            : new(share, shareOf, $"{share} threads");
    }

    private static string SecretOf(EnvironmentReader environment, int machineCount, bool isDryRun)
    {
        if (machineCount == 1) return RendezvousStore.NewToken();
        if (environment.Text(EnvironmentVariables.RendezvousToken) is { } token) return token;
        return isDryRun ? "" : throw new UserErrorException(
            $"The job spans {machineCount} machines, but {EnvironmentVariables.RendezvousToken} is not set. Export it with the same secret value on "
            + "every machine (for instance the output of `openssl rand -hex 32`), so that only workers of this job can join it.");
    }
}
