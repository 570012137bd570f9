using System.Globalization;
using System.Net;
using Names = AccelerateSharp.Launch.EnvironmentVariables;

namespace AccelerateSharp.Launch;

/// <summary>The place of one worker in its job: what a launcher tells it through environment variables.</summary>
/// <remarks>
/// Understands <c>accelerate launch</c>, torchrun, MPI (Open MPI, MPICH, Intel MPI, MVAPICH) and SLURM's srun. A plain program,
/// started by hand, is rank 0 of a world of one.
/// </remarks>
internal sealed record WorkerEnvironment
{
    public const int DefaultMasterPort = 29500;

    /// <summary>The rank of this worker over all machines, from 0.</summary>
    public int Rank { get; init; }

    /// <summary>The number of workers over all machines.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>The rank of this worker on its machine, from 0.</summary>
    public int LocalRank { get; init; }

    /// <summary>The number of workers on this machine.</summary>
    public int LocalWorldSize { get; init; } = 1;

    /// <summary>The rank of this machine, from 0.</summary>
    public int MachineRank { get; init; }

    /// <summary>The number of machines.</summary>
    public int MachineCount { get; init; } = 1;

    /// <summary>The host name or address of the machine of rank 0.</summary>
    public string MasterAddress { get; init; } = "127.0.0.1";

    /// <summary>The port of rank 0 at which workers meet.</summary>
    public int MasterPort { get; init; } = DefaultMasterPort;

    /// <summary>The secret of the job; null where none was passed.</summary>
    public string? Token { get; init; }

    /// <summary>The store that the launcher hosts, as <c>host:port</c>; null where rank 0 has to host it.</summary>
    public string? StoreEndpoint { get; init; }

    /// <summary>How many times the job has been restarted; it keeps the keys of one attempt apart from those of the next.</summary>
    public int Generation { get; init; }

    /// <summary>Whether torchrun's agent listens at <see cref="MasterPort"/>.</summary>
    public bool MasterPortIsTaken { get; init; }

    /// <summary>Whether a launcher set any of this; false for a program that was started by hand.</summary>
    public bool IsLaunched { get; init; }

    /// <summary>Whether all workers are on one machine.</summary>
    public bool IsSingleMachine => MachineCount == 1;

    /// <summary>Whether the launcher hosts the store.</summary>
    public bool StoreIsHostedByLauncher => StoreEndpoint is not null;

    /// <summary>Reads the environment.</summary>
    /// <param name="lookup">How a variable is looked up; null for the environment of this process.</param>
    /// <exception cref="InvalidOperationException">Values that cannot be read or contradict each other, with the fix.</exception>
    public static WorkerEnvironment Read(Func<string, string?>? lookup = null)
    {
        var reader = new EnvironmentReader(lookup);
        var rank = reader.FirstNumber(Names.RankNames);
        var world = reader.FirstNumber(Names.WorldSizeNames);
        var local = reader.FirstNumber(Names.LocalRankNames);
        if (world is { Value: 0 }) throw Contradiction($"{world}: a job has at least one worker. Set {world.Value.Name} to the number of workers.");
        if (rank is null && world is { Value: > 1 })
            throw Contradiction($"{world}, but no variable holds this worker's rank. Set RANK (0 to {world.Value.Value - 1}), or unset {world.Value.Name}.");
        if (rank is { Value: > 0 } && world is null)
            throw Contradiction($"{rank}, but no variable holds the number of workers. Set WORLD_SIZE, or unset {rank.Value.Name}.");
        var worldSize = world?.Value ?? 1;
        if (rank?.Value >= worldSize)
            throw Contradiction($"{rank} is not below {world}: ranks count from 0. Start this worker with a rank of 0 to {worldSize - 1}.");

        var machineRank = reader.FirstNumber(Names.MachineRankNames);
        var machines = reader.FirstNumber(Names.MachineCountNames);
        var localSize = LocalSize(reader, rank, worldSize, local, machineRank, machines);
        var localRank = local?.Value ?? (rank?.Value ?? 0) % localSize;
        if (localRank >= localSize)
            throw Contradiction($"{local} is not below the {localSize} workers of this machine. Correct LOCAL_RANK or LOCAL_WORLD_SIZE.");
        if (localRank > (rank?.Value ?? 0))
            throw Contradiction($"{local} is above {rank?.ToString() ?? "rank 0"}: a local rank cannot exceed the rank. Correct RANK or LOCAL_RANK.");
        var machineCount = localSize == worldSize ? 1 : Math.Max(2, machines?.Value ?? (worldSize + localSize - 1) / localSize);

        return new WorkerEnvironment
        {
            Rank = rank?.Value ?? 0,
            WorldSize = worldSize,
            LocalRank = localRank,
            LocalWorldSize = localSize,
            MachineRank = machineCount == 1 ? 0 : machineRank?.Value ?? (rank?.Value ?? 0) / localSize,
            MachineCount = machineCount,
            MasterAddress = Master(reader, machineCount),
            MasterPort = Port(reader),
            Token = reader.Text(Names.RendezvousToken),
            StoreEndpoint = reader.Text(Names.RendezvousEndpoint),
            Generation = reader.FirstNumber(Names.GenerationNames)?.Value ?? 0,
            MasterPortIsTaken = reader.Flag(Names.UseAgentStore),
            IsLaunched = rank is not null || world is not null || local is not null,
        };
    }

    /// <summary>The variables that make a child process read this record.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToVariables()
    {
        yield return new(Names.Rank, Text(Rank));
        yield return new(Names.WorldSize, Text(WorldSize));
        yield return new(Names.LocalRank, Text(LocalRank));
        yield return new(Names.LocalWorldSize, Text(LocalWorldSize));
        yield return new(Names.GroupRank, Text(MachineRank));
        yield return new(Names.GroupWorldSize, Text(MachineCount));
        yield return new(Names.MasterAddress, MasterAddress);
        yield return new(Names.MasterPort, Text(MasterPort));
        yield return new(Names.RendezvousGeneration, Text(Generation));
        yield return new(Names.UseAgentStore, MasterPortIsTaken ? "True" : "False");
        if (Token is not null) yield return new(Names.RendezvousToken, Token);
        if (StoreEndpoint is not null) yield return new(Names.RendezvousEndpoint, StoreEndpoint);

        static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
    }

    private static int LocalSize(
        EnvironmentReader reader, EnvironmentReader.Number? rank, int worldSize, EnvironmentReader.Number? local,
        EnvironmentReader.Number? machineRank, EnvironmentReader.Number? machines)
    {
        if (reader.FirstNumber(Names.LocalWorldSizeNames) is { } size)
        {
            if (size.Value == 0 || size.Value > worldSize)
                throw Contradiction($"{size}, but the job has {worldSize} worker(s) in all (WORLD_SIZE). Correct one of the two.");
            return size.Value;
        }
        if (machines is { Value: > 1 } && reader.Text(Names.SlurmStepTasksPerNode) is { } tasks
            && SlurmVariables.TasksOnNode(tasks, machineRank?.Value ?? 0) is { } onNode) return onNode;
        if (machines is { Value: > 1 } && machines.Value.Value <= worldSize && worldSize % machines.Value.Value == 0)
            return worldSize / machines.Value.Value;
        if (machines is null or { Value: <= 1 } && (local is null || local.Value.Value == (rank?.Value ?? 0))) return worldSize;
        throw Contradiction(
            $"{local?.ToString() ?? rank?.ToString()} tells of several machines, but not how many workers run on this one. Set LOCAL_WORLD_SIZE.");
    }

    private static string Master(EnvironmentReader reader, int machineCount)
    {
        if (reader.Text(Names.MasterAddress) is { } address)
        {
            return machineCount > 1 && reader.Text(Names.RendezvousEndpoint) is null && IPAddress.TryParse(address, out var ip) && IPAddress.IsLoopback(ip)
                ? throw Contradiction($"MASTER_ADDR={address} is this machine alone, but the job spans {machineCount} machines. Set it to the address of the machine of rank 0.")
                : address;
        }
        if (machineCount == 1) return "127.0.0.1";
        if (reader.Text(Names.SlurmStepId) is not null && reader.Text(Names.SlurmStepNodeList) is { } nodes) return SlurmVariables.FirstHost(nodes);
        throw Contradiction($"The job spans {machineCount} machines, but MASTER_ADDR is not set. Set it to the address of the machine of rank 0, on every machine.");
    }

    private static int Port(EnvironmentReader reader)
    {
        var port = reader.FirstNumber(Names.MasterPort);
        return port is { Value: 0 or > 65535 }
            ? throw Contradiction($"{port} is not a port. Set MASTER_PORT to a number between 1 and 65535, the same for all workers.")
            : port?.Value ?? DefaultMasterPort;
    }

    private static InvalidOperationException Contradiction(string message) => new(message);
}
