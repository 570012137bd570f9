using AccelerateSharp.Cli.Launch.Sections;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What the user asked of <c>accelerate launch</c>; null where nothing was said.</summary>
internal sealed record LaunchOptions
{
    public int? ProcessCount { get; init; }

    public bool Cpu { get; init; }

    /// <summary>The GPUs to use, separated by commas, or <c>all</c>.</summary>
    public string? GpuIds { get; init; }

    public int? MachineCount { get; init; }

    public int? MachineRank { get; init; }

    public string? MainProcessAddress { get; init; }

    public int? MainProcessPort { get; init; }

    public string? MixedPrecision { get; init; }

    public bool Debug { get; init; }

    /// <summary>How the processes share the training.</summary>
    public ParadigmOptions Paradigm { get; init; } = new();

    /// <summary>The configuration file, for what was not asked; null where there is none.</summary>
    public ConfigFile? Config { get; init; }

    /// <summary>The CPU threads of each process.</summary>
    public int? ThreadsPerProcess { get; init; }

    /// <summary>How workers are run, restarted and logged.</summary>
    public ExecutionOptions Execution { get; init; } = new();

    /// <summary>How long workers that were asked to end may take, before they are killed.</summary>
    public TimeSpan GracePeriod { get; init; } = TimeSpan.FromSeconds(10);

    public bool GracePeriodIsTyped { get; init; }

    /// <summary>Whether the launcher keeps its decisions, and its account of a failure, to itself.</summary>
    public bool Quiet { get; init; }

    /// <summary>Whether everything is decided and shown, and nothing built or started.</summary>
    public bool DryRun { get; init; }

    /// <summary>Whether the target is a program as it stands, and nothing to build.</summary>
    public bool IsProgram { get; init; }

    public required string Target { get; init; }

    public IReadOnlyList<string> Arguments { get; init; } = [];
}
