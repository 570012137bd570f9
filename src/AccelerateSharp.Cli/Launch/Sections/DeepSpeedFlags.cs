using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>The options of DeepSpeed.</summary>
internal static class DeepSpeedFlags
{
    private const string Prefix = "ACCELERATE_DEEPSPEED_";
    private const string NoStarter = "the launcher starts nothing on other machines: run `accelerate launch` on each of them";

    /// <summary>Also for training without DeepSpeed.</summary>
    public static readonly SectionFlag GradientAccumulationSteps =
        Flag("gradient_accumulation_steps", EnvironmentVariables.GradientAccumulationSteps, "Micro-batches per optimizer step, with DeepSpeed or without.", "N");

    public static readonly SectionFlag ConfigFile = Flag("deepspeed_config_file", Prefix + "CONFIG_FILE", "DeepSpeed's own configuration, in JSON.", "FILE");

    public static readonly IReadOnlyList<SectionFlag> All =
    [
        ConfigFile,
        Flag("zero_stage", Prefix + "ZERO_STAGE", "What is divided: 0 nothing, 1 optimizer states, 2 gradients too, 3 parameters too.", "0|1|2|3"),
        Flag("offload_optimizer_device", Prefix + "OFFLOAD_OPTIMIZER_DEVICE", "Where optimizer states are: none, cpu or nvme.", "NAME"),
        Flag("offload_param_device", Prefix + "OFFLOAD_PARAM_DEVICE", "Where parameters are: none, cpu or nvme.", "NAME"),
        // The reference's library reads the two paths, but its launcher forgets them.
        Flag("offload_optimizer_nvme_path", Prefix + "OFFLOAD_OPTIMIZER_NVME_PATH", "Folder for optimizer states on nvme.", "DIR"),
        Flag("offload_param_nvme_path", Prefix + "OFFLOAD_PARAM_NVME_PATH", "Folder for parameters on nvme.", "DIR"),
        GradientAccumulationSteps,
        Flag("gradient_clipping", "ACCELERATE_GRADIENT_CLIPPING", "The largest norm of all gradients.", "N"),
        Flag("zero3_init_flag", Prefix + "ZERO3_INIT", "Stage 3: divide parameters as the model is made.", "BOOL"),
        Flag("zero3_save_16bit_model", Prefix + "ZERO3_SAVE_16BIT_MODEL", "Stage 3: save whole weights in 16 bits.", "BOOL"),
        Flag("deepspeed_moe_layer_cls_names", Prefix + "MOE_LAYER_CLS_NAMES", "Classes of mixture-of-experts layers, separated by commas.", "NAMES"),
        Flag("deepspeed_hostfile", null, "Without effect: run the command on each machine.", "FILE") with { WithoutEffect = NoStarter },
        Flag("deepspeed_exclusion_filter", null, "Without effect.", "TEXT") with { WithoutEffect = NoStarter },
        Flag("deepspeed_inclusion_filter", null, "Without effect.", "TEXT") with { WithoutEffect = NoStarter },
        Flag("deepspeed_multinode_launcher", null, "Without effect.", "NAME") with { WithoutEffect = NoStarter },
    ];

    private static SectionFlag Flag(string name, string? variable, string help, string helpName) =>
        new(ConfigKeys.DeepSpeed, name, "--" + name, variable, help) { HelpName = helpName };
}
