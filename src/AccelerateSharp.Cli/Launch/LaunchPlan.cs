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
        if (options.MachineCount < 1) throw new UserErrorException($"--num_machines {options.MachineCount}: there is at least one machine.");
        if (options.MachineRank < 0 || options.MachineRank >= options.MachineCount)
            throw new UserErrorException($"--machine_rank {options.MachineRank} is not below --num_machines {options.MachineCount}: machines count from 0.");
        if (options.ProcessCount is < 1) throw new UserErrorException($"--num_processes {options.ProcessCount}: at least one process is needed.");
        var onGpu = !options.Cpu && gpuCount > 0;
        var (world, worldSource) = options.ProcessCount is { } asked ? (asked, $"from --num_processes {asked}")
            : onGpu ? (gpuCount * options.MachineCount, options.MachineCount == 1 ? "one for each GPU" : $"one for each of the {gpuCount} GPUs of each machine")
            : (options.MachineCount, "the default without GPUs; --num_processes sets another number");
        if (world % options.MachineCount != 0)
            throw new UserErrorException($"--num_processes {world} cannot be divided among --num_machines {options.MachineCount}. It is the number over all machines.");
        var local = world / options.MachineCount;
        if (onGpu && local > gpuCount)
            throw new UserErrorException(
                $"--num_processes {world} puts {local} processes on this machine, which has {gpuCount} GPU(s). Pass --num_processes {gpuCount * options.MachineCount}, or --cpu.");
        if (options.MachineCount > 1 && options.MainProcessAddress is null)
            throw new UserErrorException("--num_machines needs --main_process_ip: the address of the machine of rank 0.");

        var (precision, precisionSource) = options.MixedPrecision is { } typed ? (typed, "from --mixed_precision")
            : environment.Text(EnvironmentVariables.MixedPrecision) is { } set ? (set.ToLowerInvariant(), $"from {EnvironmentVariables.MixedPrecision}") : ("no", "the default");
        var (threads, threadSource) = environment.FirstNumber(EnvironmentVariables.OmpThreads) is { Value: > 0 } given
            ? (given.Value, $"from {EnvironmentVariables.OmpThreads}")
            : (Math.Max(1, physicalCores / local), $"{physicalCores} physical core(s) / {local}");
        var (port, portNote) = Port(options);
        var variables = new Dictionary<string, string>
        {
            [EnvironmentVariables.UseCpu] = options.Cpu ? "True" : "False",
            [EnvironmentVariables.MixedPrecision] = precision,
            [EnvironmentVariables.OmpThreads] = threads.ToString(CultureInfo.InvariantCulture),
        };
        if (options.Debug) variables[EnvironmentVariables.DebugMode] = "true";
        var device = onGpu ? "GPU" : options.Cpu ? "CPU (from --cpu)" : "CPU (no GPU found)";
        var place = options.MachineCount > 1 ? $", {local} of them here on machine {options.MachineRank} of {options.MachineCount}" : "";
        return new LaunchPlan
        {
            WorldSize = world,
            LocalWorldSize = local,
            MachineCount = options.MachineCount,
            MachineRank = options.MachineRank,
            MasterAddress = options.MainProcessAddress ?? "127.0.0.1",
            MasterPort = port,
            Token = SecretOf(environment, options.MachineCount),
            GracePeriod = options.GracePeriod,
            Variables = variables,
            Summary = $"Launching {world} process{(world == 1 ? "" : "es")} ({worldSource}) on {device}{place}; "
                + $"mixed precision {precision} ({precisionSource}), {threads} CPU thread(s) each ({threadSource}){portNote}.",
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

    private static (int Port, string Note) Port(LaunchOptions options)
    {
        var wanted = options.MainProcessPort ?? WorkerEnvironment.DefaultMasterPort;
        if (wanted is < 0 or > 65535) throw new UserErrorException($"--main_process_port {wanted} is not a port: pass 0 to 65535.");
        if (options.MachineCount > 1)
            return wanted > 0 ? (wanted, "") : throw new UserErrorException("--main_process_port 0 (any free one) works on a single machine only: name the port.");
        if (wanted > 0 && IsFree(wanted)) return (wanted, "");
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
