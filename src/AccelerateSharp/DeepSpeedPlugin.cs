using System.Text.Json.Nodes;
using AccelerateSharp.Launch;
using AccelerateSharp.Parallel.DeepSpeed;

namespace AccelerateSharp;

/// <summary>ZeRO in DeepSpeed's words: optimizer states, gradients and parameters are divided between the ranks, by stage.</summary>
/// <remarks>
/// <para>
/// Give it to <c>new Accelerator(deepSpeedPlugin: …)</c>; where <c>ACCELERATE_USE_DEEPSPEED</c> is true, as <c>accelerate launch</c> sets
/// it, an accelerator without one makes its own. Either a <c>ds_config.json</c> (<see cref="ConfigFile"/>, <see cref="Config"/>) says
/// everything and its <c>"auto"</c> values are filled, or the properties do; a property that is not set takes its value from the
/// environment, else its default. Design: Rajbhandari et al., "ZeRO", SC 2020; the engine is the one behind
/// <see cref="FullyShardedDataParallelPlugin"/>.
/// </para>
/// <para>Whatever the weights were loaded in, each rank's part of them and the optimizer are in fp32; bf16 and fp16 are what the model computes in.</para>
/// </remarks>
public sealed record DeepSpeedPlugin
{
    /// <summary>A <c>ds_config.json</c>, or its text in base64 (<c>ACCELERATE_DEEPSPEED_CONFIG_FILE</c>). JSON without comments, as DeepSpeed reads it.</summary>
    public string? ConfigFile { get; init; }

    /// <summary>The same as an object.</summary>
    public JsonObject? Config { get; init; }

    /// <summary>Micro-batches per optimizer step (<c>ACCELERATE_GRADIENT_ACCUMULATION_STEPS</c>; those of the accelerator, else 1).</summary>
    public int? GradientAccumulationSteps { get; init; }

    /// <summary>The largest norm of all gradients together; 0: no clipping (<c>ACCELERATE_GRADIENT_CLIPPING</c>; 1).</summary>
    public double? GradientClipping { get; init; }

    /// <summary>0: data parallelism; 1: optimizer states are divided; 2: gradients too; 3: parameters too (<c>ACCELERATE_DEEPSPEED_ZERO_STAGE</c>; 2).</summary>
    public int? ZeroStage { get; init; }

    /// <summary>Whether the smallest batch size of several loaders is the micro-batch size; false: the largest.</summary>
    public bool IsTrainBatchMin { get; init; } = true;

    /// <summary>Where optimizer states and fp32 weights live, and where the optimizer works; stages 1 to 3 (<c>ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE</c>; none).</summary>
    public DeepSpeedOffloadDevice? OffloadOptimizerDevice { get; init; }

    /// <summary>Where parameters live between their uses; stage 3 (<c>ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE</c>; none).</summary>
    public DeepSpeedOffloadDevice? OffloadParamDevice { get; init; }

    /// <summary>A folder for the files of <see cref="OffloadOptimizerDevice"/> (<c>ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH</c>).</summary>
    public string? OffloadOptimizerNvmePath { get; init; }

    /// <summary>A folder for the files of <see cref="OffloadParamDevice"/> (<c>ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH</c>).</summary>
    public string? OffloadParamNvmePath { get; init; }

    /// <summary>Stage 3: whether <see cref="Accelerator.ZeroInit{T}"/> makes weights on rank 0 alone (<c>ACCELERATE_DEEPSPEED_ZERO3_INIT</c>; true).</summary>
    public bool? Zero3InitFlag { get; init; }

    /// <summary>Whether <see cref="Accelerator.GetStateDict"/> gives weights in the 16 bits that the model computes in (<c>ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL</c>; false: fp32).</summary>
    public bool? Zero3Save16BitModel { get; init; }

    /// <summary>Classes of mixture-of-experts layers, each gathered as a whole (<c>ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES</c>, separated by commas).</summary>
    public IReadOnlyList<string>? TransformerMoeClsNames { get; init; }

    /// <summary>The configuration in force, a copy: <c>"auto"</c> is filled as far as what was prepared tells. Null before an accelerator has taken the plugin.</summary>
    public JsonObject? DeepSpeedConfig => Document?.ToJson();

    internal DsConfig? Document { get; init; }

    internal DeepSpeedSettings? Settings { get; init; }

    /// <summary>What the main process is told once.</summary>
    internal IReadOnlyList<string> Notices { get; init; } = [];

    /// <summary>The plugin with every property that was not set filled from the configuration, the environment and the defaults.</summary>
    /// <exception cref="ArgumentException">Everything that is wrong or contradicts, in one message.</exception>
    internal DeepSpeedPlugin Resolve(EnvironmentReader environment, DeepSpeedRequest request) =>
        new DeepSpeedResolution(this, new DeepSpeedEnvironment(environment), request).Resolve();
}
