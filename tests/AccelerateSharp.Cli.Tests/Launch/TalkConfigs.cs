namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>The two files of the talk, as they stand there.</summary>
internal static class TalkConfigs
{
    public const string Ddp = """
        compute_environment: LOCAL_MACHINE
        distributed_type: MULTI_GPU
        main_training_function: main
        mixed_precision: bf16
        num_machines: 1
        num_processes: 8
        """;

    public const string Fsdp = """
        compute_environment: LOCAL_MACHINE
        distributed_type: FSDP
        fsdp_config:
          fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
          fsdp_backward_prefetch: BACKWARD_PRE
          fsdp_cpu_ram_efficient_loading: true
          fsdp_forward_prefetch: false
          fsdp_offload_params: false
          fsdp_sharding_strategy: FULL_SHARD
          fsdp_state_dict_type: SHARDED_STATE_DICT
          fsdp_sync_module_states: true
          fsdp_use_orig_params: false
        main_training_function: main
        mixed_precision: bf16
        num_machines: 1
        num_processes: 8
        """;
}
