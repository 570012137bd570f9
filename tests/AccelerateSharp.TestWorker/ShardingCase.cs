using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>One row of the equality table, written like <c>FullShard,bf16,accumulate,clip</c>.</summary>
internal sealed record ShardingCase(string Text, ShardingStrategy Strategy)
{
    public MixedPrecision Precision { get; private init; }

    /// <summary>DeepSpeed's stage; null: FSDP's words.</summary>
    public int? Stage { get; private init; }

    public int Accumulation { get; private init; } = 1;

    public bool Clip { get; private init; }

    public bool Offload { get; private init; }

    /// <summary>DeepSpeed: optimizer states in files; at stage 3 parameters too.</summary>
    public bool Nvme { get; private init; }

    /// <summary>One of ours, which can step piece by piece.</summary>
    public bool Fused => Nvme;

    public bool Checkpoint { get; private init; }

    public bool OptimizerFirst { get; private init; }

    public int Version { get; private init; } = 1;

    public BackwardPrefetch Prefetch { get; private init; } = BackwardPrefetch.BackwardPre;

    public int Steps { get; private init; } = 20;

    public bool Gpu { get; private init; }

    /// <summary>How the name of the model begins; null: those that are made of units.</summary>
    public string? Models { get; private init; }

    /// <summary>Every model of the data-parallel table as well.</summary>
    public bool Everything { get; private init; }

    public int? ReshardGroup { get; private init; }

    /// <summary>bf16 has 8 bits: what sums in another order differs in the third digit, and training carries that on.</summary>
    public double Tolerance => Precision == MixedPrecision.No ? 1e-5 : 0.06;

    public static ShardingCase Parse(string text)
    {
        var words = text.Split(',');
        var test = words[0].StartsWith("Zero", StringComparison.Ordinal)
            ? new ShardingCase(text, ShardingStrategy.FullShard) { Stage = int.Parse(words[0][4..]) }
            : new ShardingCase(text, Enum.Parse<ShardingStrategy>(words[0]));
        foreach (var word in words[1..])
        {
            test = word switch
            {
                "fp32" => test,
                "bf16" => test with { Precision = MixedPrecision.BF16 },
                "accumulate" => test with { Accumulation = 4 },
                "clip" => test with { Clip = true },
                "offload" => test with { Offload = true },
                "nvme" => test with { Nvme = true },
                "checkpoint" => test with { Checkpoint = true },
                "optimizer-first" => test with { OptimizerFirst = true },
                "v2" => test with { Version = 2 },
                "post" => test with { Prefetch = BackwardPrefetch.BackwardPost },
                "no-prefetch" => test with { Prefetch = BackwardPrefetch.NoPrefetch },
                "everything" => test with { Everything = true },
                "reshard2" => test with { Version = 2, ReshardGroup = 2 },
                "gpu" => test with { Gpu = true },
                _ when word.StartsWith("steps=", StringComparison.Ordinal) => test with { Steps = int.Parse(word[6..]) },
                _ when word.StartsWith("model=", StringComparison.Ordinal) => test with { Models = word[6..] },
                _ => throw new ArgumentException($"There is no option '{word}' of a sharding case."),
            };
        }

        return test;
    }

    public Accelerator CreateAccelerator() => Stage is null ? WithFsdp() : WithDeepSpeed();

    private static string Folder => Environment.GetEnvironmentVariable("TEST_FOLDER") ?? Path.GetTempPath();

    private Accelerator WithDeepSpeed() => new(
        cpu: !Gpu, mixedPrecision: Precision,
        deepSpeedPlugin: new DeepSpeedPlugin
        {
            Config = new JsonObject
            {
                ["zero_optimization"] = new JsonObject
                {
                    ["stage"] = Stage,
                    ["sub_group_size"] = 300,
                    ["offload_optimizer"] = new JsonObject { ["device"] = Nvme ? "nvme" : Offload ? "cpu" : "none", ["nvme_path"] = Folder, ["buffer_count"] = 3 },
                    ["offload_param"] = new JsonObject { ["device"] = Nvme && Stage == 3 ? "nvme" : "none", ["nvme_path"] = Folder, ["max_in_cpu"] = 700 },
                },
                ["gradient_accumulation_steps"] = Accumulation,
                ["gradient_clipping"] = Clip ? ShardingScenarios.MaxNorm : 0,
                ["activation_checkpointing"] = new JsonObject { ["partition_activations"] = Checkpoint },
            },
        });

    private Accelerator WithFsdp() => new(
        cpu: !Gpu, mixedPrecision: Precision, gradientAccumulationSteps: Accumulation,
        fsdpPlugin: new FullyShardedDataParallelPlugin
        {
            FsdpVersion = Version,
            ShardingStrategy = Version == 1 ? Strategy : null,
            ReshardAfterForward = Version == 2 ? Strategy == ShardingStrategy.FullShard : null,
            ReshardGroupSize = ReshardGroup,
            BackwardPrefetch = Prefetch,
            WrapWhere = ShardingModels.IsUnit,
            OffloadParams = Offload,
            ActivationCheckpointing = Checkpoint,
            ShardGroupSize = Strategy is ShardingStrategy.HybridShard or ShardingStrategy.HybridShardZero2 ? 2 : null,
        });

    /// <summary>Runs the reference in the same precision.</summary>
    public Tensor Precise(Device device, Func<Tensor> forward)
    {
        if (Precision == MixedPrecision.No) return forward();
        using var autocast = Internal.Interop.Autocast.Enter(device.type, ScalarType.BFloat16);
        return forward();
    }

    public override string ToString() => Text;
}
