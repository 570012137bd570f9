using System.Globalization;
using AccelerateSharp.Launch;
using Names = AccelerateSharp.Launch.EnvironmentVariables;

namespace AccelerateSharp.Cli.Launch;

/// <summary>One attempt of the job: who takes part, and which ranks are on this machine.</summary>
internal sealed record Round
{
    /// <summary>Counts the attempts, from 0; what one of them left in the store is out of sight of the next.</summary>
    public required int Generation { get; init; }

    /// <summary>How many of the earlier attempts failed; one that ended because a machine joined did not.</summary>
    public required int RestartCount { get; init; }

    public required int WorldSize { get; init; }

    public required int MachineCount { get; init; }

    public required int MachineRank { get; init; }

    /// <summary>The first rank of this machine.</summary>
    public required int FirstRank { get; init; }

    public required int LocalWorldSize { get; init; }

    /// <summary>The first rank of this machine among the workers of its role.</summary>
    public required int RoleFirstRank { get; init; }

    public required int RoleWorldSize { get; init; }

    /// <summary>The job's name.</summary>
    public required string RunId { get; init; }

    /// <summary>An attempt on as many machines, and with the ranks, as the plan has them.</summary>
    public static Round Of(LaunchPlan plan, string runId, int attempt) => new()
    {
        Generation = attempt,
        RestartCount = attempt,
        WorldSize = plan.WorldSize,
        MachineCount = plan.MachineCount,
        MachineRank = plan.MachineRank,
        FirstRank = plan.MachineRank * plan.LocalWorldSize,
        LocalWorldSize = plan.LocalWorldSize,
        RoleFirstRank = plan.MachineRank * plan.LocalWorldSize,
        RoleWorldSize = plan.WorldSize,
        RunId = runId,
    };

    /// <summary>The place of one worker of this machine.</summary>
    public WorkerEnvironment WorkerAt(int localRank, LaunchPlan plan, string? storeEndpoint) => new()
    {
        Rank = FirstRank + localRank,
        WorldSize = WorldSize,
        LocalRank = localRank,
        LocalWorldSize = LocalWorldSize,
        MachineRank = MachineRank,
        MachineCount = MachineCount,
        MasterAddress = plan.MasterAddress,
        MasterPort = plan.MasterPort,
        Token = plan.Token,
        StoreEndpoint = storeEndpoint,
        Generation = Generation,
    };

    /// <summary>What torchrun tells its workers beyond their place.</summary>
    public IEnumerable<KeyValuePair<string, string>> VariablesOf(int localRank, string role, int maxRestarts)
    {
        yield return new(Names.RestartCount, Text(RestartCount));
        yield return new(Names.MaxRestarts, Text(maxRestarts));
        yield return new(Names.RunId, RunId);
        yield return new(Names.RoleName, role);
        yield return new(Names.RoleRank, Text(RoleFirstRank + localRank));
        yield return new(Names.RoleWorldSize, Text(RoleWorldSize));

        static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
    }
}
