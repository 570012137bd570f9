using System.Globalization;
using System.Text;

namespace AccelerateSharp.Estimation.Planning;

/// <summary>Writes the configuration file that launches a plan.</summary>
internal static class PlanConfig
{
    public static string ToYaml(MemoryPlan plan, PlanRequest request)
    {
        var text = new StringBuilder();
        var isSharded = plan.Strategy is not (PlanStrategy.OneGpu or PlanStrategy.DataParallel);
        var processes = plan.Strategy == PlanStrategy.OneGpu ? 1 : request.Gpus;
        if (plan.Checkpointing && !isSharded) text.Append("# Only sharded training switches activation checkpointing on by itself; here the model has to.\n");
        Line("compute_environment", "LOCAL_MACHINE");
        Line("debug", "false");
        Line("distributed_type", isSharded ? "FSDP" : plan.Strategy == PlanStrategy.OneGpu ? "'NO'" : "MULTI_GPU");
        if (isSharded)
        {
            text.Append("fsdp_config:\n");
            Line("  fsdp_activation_checkpointing", plan.Checkpointing ? "true" : "false");
            Line("  fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
            Line("  fsdp_backward_prefetch", "BACKWARD_PRE");
            Line("  fsdp_cpu_ram_efficient_loading", "true");
            Line("  fsdp_forward_prefetch", "false");
            Line("  fsdp_offload_params", plan.Strategy == PlanStrategy.Offload ? "true" : "false");
            Line("  fsdp_sharding_strategy", plan.Strategy == PlanStrategy.Offload ? PlanStrategy.FullShard.Name() : plan.Strategy.Name());
            Line("  fsdp_state_dict_type", "SHARDED_STATE_DICT");
            Line("  fsdp_sync_module_states", "true");
            Line("  fsdp_use_orig_params", "true");
        }
        Line("machine_rank", "0");
        Line("main_training_function", "main");
        Line("mixed_precision", request.MixedPrecision == "no" ? "'no'" : request.MixedPrecision);
        Line("num_machines", (processes == 1 ? 1 : request.Machines).ToString(CultureInfo.InvariantCulture));
        Line("num_processes", processes.ToString(CultureInfo.InvariantCulture));
        Line("use_cpu", "false");
        return text.ToString();

        void Line(string key, string value) => text.Append(key).Append(": ").Append(value).Append('\n');
    }
}
