using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What the user asked of <c>accelerate launch</c>; null where nothing was said.</summary>
internal sealed record LaunchOptions
{
    public int? ProcessCount { get; init; }

    public bool Cpu { get; init; }

    public int? MachineCount { get; init; }

    public int? MachineRank { get; init; }

    public string? MainProcessAddress { get; init; }

    public int? MainProcessPort { get; init; }

    public string? MixedPrecision { get; init; }

    public bool Debug { get; init; }

    /// <summary>The configuration file, for what was not asked; null where there is none.</summary>
    public ConfigFile? Config { get; init; }

    /// <summary>The CPU threads of each process.</summary>
    public int? ThreadsPerProcess { get; init; }

    /// <summary>How workers are run, restarted and logged.</summary>
    public ExecutionOptions Execution { get; init; } = new();

    /// <summary>How long workers that were asked to end may take, before they are killed.</summary>
    public TimeSpan GracePeriod { get; init; } = TimeSpan.FromSeconds(10);

    public required string Target { get; init; }

    public IReadOnlyList<string> Arguments { get; init; } = [];
}
