using System.Globalization;
using System.Net;
using System.Net.Sockets;
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

    /// <summary>What the configuration file asks for and is not done, in a line; null where there is nothing.</summary>
    public string? Unused { get; init; }

    /// <summary>How long workers that were asked to end may take, before they are killed.</summary>
    public required TimeSpan GracePeriod { get; init; }

    /// <summary>Variables that are the same for all workers.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>Whether the workers of this job need to find each other.</summary>
    public bool NeedsStore => WorldSize > 1;

    /// <summary>Whether this launcher hosts the store.</summary>
    public bool HostsStore => NeedsStore && MachineRank == 0;

    public static LaunchPlan Make(LaunchOptions options, EnvironmentReader environment, int gpuCount, int physicalCores)
    {
        var settings = LaunchSettings.Resolve(options, environment);
        var (machines, rank, gpus) = (settings.MachineCount.Value, settings.MachineRank.Value, settings.GpuIds?.Value.Split(',').Length ?? gpuCount);
        if (machines < 1) throw new UserErrorException($"{settings.MachineCount}: there is at least one machine.");
        if (rank < 0 || rank >= machines)
            throw new UserErrorException($"{settings.MachineRank} is not below {settings.MachineCount}: machines count from 0.");
        if (settings.ProcessCount is { Value: < 1 } few) throw new UserErrorException($"{few}: at least one process is needed.");
        var onGpu = !settings.Cpu.Value && gpuCount > 0;
        var (world, worldSource) = settings.ProcessCount is { } asked ? (asked.Value, asked.Source)
            : onGpu ? (gpus * machines, machines == 1 ? "one for each GPU" : $"one for each of the {gpus} GPUs of each machine")
            : (machines, "the default without GPUs; --num_processes sets another number");
        if (world % machines != 0)
            throw new UserErrorException($"{settings.ProcessCount} cannot be divided among {settings.MachineCount}. It is the number over all machines.");
        var local = world / machines;
        if (onGpu && local > gpus)
        {
            throw new UserErrorException(
                $"{settings.ProcessCount} puts {local} processes on this machine, which has {gpus} GPU(s){(settings.GpuIds is null ? "" : $" in {settings.GpuIds}")}. "
                + $"Pass --num_processes {gpus * machines}, or --cpu.");
        }
        if (machines > 1 && settings.MainProcessAddress is null)
            throw new UserErrorException($"{settings.MachineCount} needs --main_process_ip: the address of the machine of rank 0.");

        if (options.ThreadsPerProcess is < 1) throw new UserErrorException($"--num_cpu_threads_per_process {options.ThreadsPerProcess}: a process has at least one thread.");
        var (threads, threadSource) = options.ThreadsPerProcess is { } typed ? (typed, $"from --num_cpu_threads_per_process {typed}")
            : environment.FirstNumber(EnvironmentVariables.OmpThreads) is { Value: > 0 } given
            ? (given.Value, $"from {EnvironmentVariables.OmpThreads}")
            : (Math.Max(1, physicalCores / local), $"{physicalCores} physical core(s) / {local}");
        var (port, portNote) = Port(settings);
        var variables = new Dictionary<string, string>
        {
            [EnvironmentVariables.UseCpu] = settings.Cpu.Value ? "True" : "False",
            [EnvironmentVariables.MixedPrecision] = settings.MixedPrecision.Value,
            [EnvironmentVariables.OmpThreads] = threads.ToString(CultureInfo.InvariantCulture),
        };
        if (settings.Debug is { } debug) variables[EnvironmentVariables.DebugMode] = debug.Value ? "true" : "false";
        if (onGpu && settings.GpuIds is { } ids) variables[EnvironmentVariables.CudaVisibleDevices] = ids.Value;
        var device = onGpu ? settings.GpuIds is { } chosen ? $"GPU {chosen.Value} ({chosen.Source})" : "GPU"
            : settings.Cpu.Value ? $"CPU ({settings.Cpu.Source})" : "CPU (no GPU found)";
        var place = machines > 1
            ? $", {local} of them here on machine {rank} ({settings.MachineRank.Source}) of {machines} ({settings.MachineCount.Source}), "
                + $"rank 0 at {settings.MainProcessAddress!.Value} ({settings.MainProcessAddress.Source})"
            : "";
        var checks = settings.Debug is { Value: true } ? $", checked collectives ({settings.Debug.Source})" : "";
        return new LaunchPlan
        {
            WorldSize = world,
            LocalWorldSize = local,
            MachineCount = machines,
            MachineRank = rank,
            MasterAddress = machines > 1 ? settings.MainProcessAddress!.Value : settings.MainProcessAddress?.Value ?? "127.0.0.1",
            MasterPort = port,
            Token = SecretOf(environment, machines),
            GracePeriod = options.GracePeriod,
            Variables = variables,
            Summary = $"Launching {world} process{(world == 1 ? "" : "es")} ({worldSource}) on {device}{place}; "
                + $"mixed precision {settings.MixedPrecision.Value} ({settings.MixedPrecision.Source}){checks}, {threads} CPU thread(s) each ({threadSource}){portNote}.",
            Unused = settings.Unused,
        };
    }

    /// <summary>The environment of one worker of this machine.</summary>
    public WorkerEnvironment WorkerAt(int localRank, string? storeEndpoint) => new()
    {
        Rank = (MachineRank * LocalWorldSize) + localRank,
        WorldSize = WorldSize,
        LocalRank = localRank,
        LocalWorldSize = LocalWorldSize,
        MachineRank = MachineRank,
        MachineCount = MachineCount,
        MasterAddress = MasterAddress,
        MasterPort = MasterPort,
        Token = Token,
        StoreEndpoint = storeEndpoint,
    };

    private static (int Port, string Note) Port(LaunchSettings settings)
    {
        var (wanted, several) = (settings.MainProcessPort.Value, settings.MachineCount.Value > 1);
        var note = settings.MainProcessPort.IsDefault ? "" : $", port {wanted} ({settings.MainProcessPort.Source})";
        if (wanted is < 0 or > 65535) throw new UserErrorException($"{settings.MainProcessPort} is not a port: pass 0 to 65535.");
        if (several)
            return wanted > 0 ? (wanted, note) : throw new UserErrorException($"{settings.MainProcessPort} (any free one) works on a single machine only: name the port.");
        if (wanted > 0 && IsFree(wanted)) return (wanted, note);
        var free = FreePort();
        return (free, wanted == 0 ? "" : $", port {free} (port {wanted} is taken)");
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var probe = new TcpListener(IPAddress.Loopback, port);
            probe.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static string SecretOf(EnvironmentReader environment, int machineCount)
    {
        if (machineCount == 1) return RendezvousStore.NewToken();
        return environment.Text(EnvironmentVariables.RendezvousToken) ?? throw new UserErrorException(
            $"The job spans {machineCount} machines, but {EnvironmentVariables.RendezvousToken} is not set. Export it with the same secret value on "
            + "every machine (for instance the output of `openssl rand -hex 32`), so that only workers of this job can join it.");
    }
}
