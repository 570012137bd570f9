using System.Text.Json.Serialization;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>What a launcher tells the coordinator.</summary>
internal enum ReportKind
{
    /// <summary>It has no workers and is ready for an attempt.</summary>
    Ready,

    /// <summary>A worker of its failed.</summary>
    Failed,

    /// <summary>All of its workers succeeded.</summary>
    Succeeded,

    /// <summary>It got a signal: what fails from now on may be due to that.</summary>
    Interrupted,

    /// <summary>It leaves the job, in good order.</summary>
    Leaving,
}

/// <summary>A message of a launcher to the coordinator.</summary>
internal sealed record Report
{
    public required ReportKind Kind { get; init; }

    /// <summary>The launcher; a new number for each connection.</summary>
    public required int Member { get; init; }

    /// <summary>The latest attempt that it knows of, or -1.</summary>
    public required int Generation { get; init; }

    /// <summary>The restarts that it knows of.</summary>
    public int Restarts { get; init; }

    /// <summary>What it is to a person: the name of its machine.</summary>
    public string Host { get; init; } = "";

    /// <summary>The rank that its user gave it; null where none was given.</summary>
    public int? MachineRank { get; init; }

    /// <summary>Whether the coordinator runs in its process.</summary>
    public bool IsHost { get; init; }

    public int LocalWorldSize { get; init; }

    public string Role { get; init; } = "";

    /// <summary>The name of the job; null where it takes the coordinator's.</summary>
    public string? RunId { get; init; }

    /// <summary>The exit code of the worker that failed, or the signal that the launcher got.</summary>
    public int Code { get; init; }

    /// <summary>Whether the worker failed only because another one did.</summary>
    public bool IsConsequence { get; init; }

    /// <summary>The failure, in a line.</summary>
    public string Text { get; init; } = "";
}

/// <summary>What the coordinator tells the launchers.</summary>
internal enum OrderKind
{
    /// <summary>Start the workers.</summary>
    Start,

    /// <summary>End the workers of this attempt and be ready for the next.</summary>
    Stop,

    /// <summary>The job is over.</summary>
    End,

    /// <summary>Something to tell the user.</summary>
    Say,
}

/// <summary>A message of the coordinator to the launchers.</summary>
internal sealed record Order
{
    public required OrderKind Kind { get; init; }

    public required int Generation { get; init; }

    public int Restarts { get; init; }

    /// <summary>The launcher that it is for; null for all.</summary>
    public int? For { get; init; }

    /// <summary>The exit code of a job that is over.</summary>
    public int ExitCode { get; init; }

    /// <summary>Why, in a line.</summary>
    public string Text { get; init; } = "";

    public string RunId { get; init; } = "";

    /// <summary>The machines of an attempt, by their rank.</summary>
    public IReadOnlyList<Place> Places { get; init; } = [];
}

/// <summary>The place of one machine in an attempt.</summary>
internal sealed record Place(int Member, string Host, int FirstRank, int LocalWorldSize, int RoleFirstRank, int RoleWorldSize);

[JsonSourceGenerationOptions(UseStringEnumConverter = true, PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Report))]
[JsonSerializable(typeof(Order))]
internal sealed partial class MessageJson : JsonSerializerContext;
