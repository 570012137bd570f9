using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What the launcher puts into the environment of a worker, beside what it has itself.</summary>
internal static class WorkerVariables
{
    public static SortedDictionary<string, string> Of(LaunchPlan plan, ExecutionSettings settings, Round round, int localRank, string? storeEndpoint)
    {
        var variables = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in plan.Variables) variables[name] = value;
        if (Screen.IsTerminal) variables[EnvironmentVariables.Terminal] = "1";
        if (settings.CpuAffinity.Value) variables[EnvironmentVariables.CpuAffinity] = "1";
        foreach (var (name, value) in round.VariablesOf(localRank, settings.Role, settings.MaxRestarts.Value)) variables[name] = value;
        foreach (var (name, value) in round.WorkerAt(localRank, plan, storeEndpoint).ToVariables()) variables[name] = value;
        return variables;
    }
}
