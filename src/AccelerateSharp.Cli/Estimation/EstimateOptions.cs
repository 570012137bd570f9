using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;

namespace AccelerateSharp.Cli.Estimation;

/// <summary>What <c>accelerate estimate-memory</c> was asked.</summary>
internal sealed record EstimateOptions
{
    public required string Model { get; init; }

    public required string Revision { get; init; }

    public required IReadOnlyList<string> Dtypes { get; init; }

    public string? ConfigFile { get; init; }

    public bool Json { get; init; }

    /// <summary>The memory of a GPU as it was written; null where no plan is asked for.</summary>
    public string? GpuMemory { get; init; }

    public int Gpus { get; init; }

    public int Machines { get; init; }

    public int BatchSize { get; init; }

    public int SequenceLength { get; init; }

    public OptimizerKind Optimizer { get; init; }

    public int? LoraRank { get; init; }

    public required string MixedPrecision { get; init; }

    public PlanRequest? ToRequest() => GpuMemory is null ? null : new PlanRequest
    {
        Gpus = Gpus,
        GpuMemory = MemoryText.Parse(GpuMemory),
        Machines = Machines,
        BatchSize = BatchSize,
        SequenceLength = SequenceLength,
        Optimizer = Optimizer,
        LoraRank = LoraRank,
        MixedPrecision = MixedPrecision,
    };
}
