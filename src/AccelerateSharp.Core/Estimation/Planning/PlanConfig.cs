using AccelerateSharp.Configuration;

namespace AccelerateSharp.Estimation.Planning;

/// <summary>The configuration that launches a plan.</summary>
internal static class PlanConfig
{
    private const string CheckpointingNote = "# Only sharded training switches activation checkpointing on by itself; here the model has to.\n";

    public static string ToYaml(MemoryPlan plan, PlanRequest request)
    {
        var isSharded = plan.Strategy is not (PlanStrategy.OneGpu or PlanStrategy.DataParallel);
        var processes = plan.Strategy == PlanStrategy.OneGpu ? 1 : request.Gpus;
        var note = plan.Checkpointing && !isSharded ? CheckpointingNote : "";
        return note + ConfigWriter.ToYaml(new ConfigSection
        {
            ["compute_environment"] = "LOCAL_MACHINE",
            ["debug"] = false,
            ["distributed_type"] = isSharded ? "FSDP" : plan.Strategy == PlanStrategy.OneGpu ? "NO" : "MULTI_GPU",
            ["fsdp_config"] = isSharded ? Sharding(plan) : null,
            ["machine_rank"] = 0,
            ["main_training_function"] = "main",
            ["mixed_precision"] = request.MixedPrecision,
            ["num_machines"] = processes == 1 ? 1 : request.Machines,
            ["num_processes"] = processes,
            ["use_cpu"] = false,
        });
    }

    private static ConfigSection Sharding(MemoryPlan plan) => new()
    {
        ["fsdp_activation_checkpointing"] = plan.Checkpointing,
        ["fsdp_auto_wrap_policy"] = "TRANSFORMER_BASED_WRAP",
        ["fsdp_backward_prefetch"] = "BACKWARD_PRE",
        ["fsdp_cpu_ram_efficient_loading"] = true,
        ["fsdp_forward_prefetch"] = false,
        ["fsdp_offload_params"] = plan.Strategy == PlanStrategy.Offload,
        ["fsdp_sharding_strategy"] = plan.Strategy == PlanStrategy.Offload ? PlanStrategy.FullShard.Name() : plan.Strategy.Name(),
        ["fsdp_state_dict_type"] = "SHARDED_STATE_DICT",
        ["fsdp_sync_module_states"] = true,
        ["fsdp_use_orig_params"] = true,
    };
}
