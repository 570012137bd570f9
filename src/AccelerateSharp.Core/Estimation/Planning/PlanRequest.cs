namespace AccelerateSharp.Estimation.Planning;

/// <summary>What there is, and what is to be trained how.</summary>
internal sealed record PlanRequest
{
    /// <summary>The number of GPUs, over all machines.</summary>
    public required int Gpus { get; init; }

    /// <summary>The memory of one, in bytes.</summary>
    public required long GpuMemory { get; init; }

    public int Machines { get; init; } = 1;

    /// <summary>The number of sequences that each GPU computes at once.</summary>
    public int BatchSize { get; init; } = 1;

    public int SequenceLength { get; init; } = 512;

    public OptimizerKind Optimizer { get; init; }

    /// <summary>The rank of the LoRA adapters on the matrices of the blocks, or null to train all parameters.</summary>
    public int? LoraRank { get; init; }

    /// <summary>The precision of the computation: <c>no</c>, <c>fp16</c>, <c>bf16</c> or <c>fp8</c>.</summary>
    public string MixedPrecision { get; init; } = "bf16";

    public int GpusPerMachine => Gpus / Machines;

    /// <summary>What a plan may take: a GiB is left for the CUDA context and the libraries' workspaces, and 5 % for fragmentation.</summary>
    public long UsableMemory => Math.Max(0, (long)(GpuMemory * 0.95) - (1L << 30));

    /// <summary>The size of an element in activations and in gradients on their way, in bytes.</summary>
    public int ComputeBytes => MixedPrecision == "no" ? 4 : 2;

    /// <summary>The size of an element of the weights that are computed with, in bytes.</summary>
    public int ComputeWeightBytes => MixedPrecision switch { "no" => 4, "fp8" => 1, _ => 2 };
}
