using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>The options of FSDP. The defaults are those of the reference's launcher, which workers hear of even where nobody said anything.</summary>
internal static class FsdpFlags
{
    public static readonly SectionFlag Version = Flag("version", "Whose vocabulary: 1 or 2.", "1|2", "1");
    public static readonly SectionFlag SyncModuleStates = Flag("sync_module_states", "All ranks start from rank 0's weights.", "BOOL", "true");
    public static readonly SectionFlag CpuRamEfficientLoading = Flag("cpu_ram_efficient_loading", "Rank 0 alone reads the weights.", "BOOL", "true");

    public static readonly IReadOnlyList<SectionFlag> All =
    [
        Version,
        Flag("sharding_strategy", "FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, HYBRID_SHARD or HYBRID_SHARD_ZERO2.", "NAME", "FULL_SHARD"),
        Flag("reshard_after_forward", "Version 2: free whole parameters after forward.", "BOOL", "true"),
        Flag("offload_params", "Keep shards and optimizer states in host memory.", "BOOL", "false"),
        Flag("auto_wrap_policy", "TRANSFORMER_BASED_WRAP, SIZE_BASED_WRAP or NO_WRAP.", "NAME"),
        Flag("transformer_layer_cls_to_wrap", "Classes of the units, separated by commas.", "NAMES") with { Variable = "FSDP_TRANSFORMER_CLS_TO_WRAP" },
        Flag("min_num_params", "Parameters of a unit, for SIZE_BASED_WRAP.", "N", "100000000"),
        Flag("backward_prefetch", "BACKWARD_PRE, BACKWARD_POST or NO_PREFETCH.", "NAME"),
        Flag("forward_prefetch", "Gather the next unit during forward.", "BOOL", "false"),
        Flag("state_dict_type", "FULL_STATE_DICT, SHARDED_STATE_DICT or LOCAL_STATE_DICT.", "NAME"),
        Flag("use_orig_params", "A unit may be frozen in part.", "BOOL", "true"),
        CpuRamEfficientLoading,
        SyncModuleStates,
        Flag("activation_checkpointing", "Compute activations again in backward.", "BOOL", "false"),
        Flag("ignored_modules", "Modules that stay whole: a regular expression over their names.", "REGEX"),
    ];

    private static SectionFlag Flag(string name, string help, string helpName, string? value = null) =>
        new(ConfigKeys.Fsdp, "fsdp_" + name, "--fsdp_" + name, "FSDP_" + name.ToUpperInvariant(), help) { HelpName = helpName, Default = value };
}
