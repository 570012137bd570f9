using System.CommandLine;
using System.Text;

namespace AccelerateSharp.Cli.Tests;

/// <summary>Every command and option, as they were approved: scripts depend on them.</summary>
public sealed class FlagSetTests
{
    // The reference's generic options of `launch`.
    private const string Reference = """
        config_file quiet module no_python debug cpu multi_gpu tpu mixed_precision num_processes num_machines num_cpu_threads_per_process enable_cpu_affinity
        dynamo_backend dynamo_mode dynamo_use_fullgraph dynamo_use_dynamic dynamo_use_regional_compilation use_deepspeed use_fsdp use_parallelism_config use_megatron_lm
        gpu_ids same_network machine_rank main_process_ip main_process_port tee log_dir role rdzv_backend rdzv_conf max_restarts monitor_interval
        deepspeed_config_file zero_stage offload_optimizer_device offload_param_device offload_optimizer_nvme_path offload_param_nvme_path gradient_accumulation_steps
        gradient_clipping zero3_init_flag zero3_save_16bit_model deepspeed_hostfile deepspeed_exclusion_filter deepspeed_inclusion_filter deepspeed_multinode_launcher
        deepspeed_moe_layer_cls_names
        fsdp_version fsdp_offload_params fsdp_min_num_params fsdp_sharding_strategy fsdp_reshard_after_forward fsdp_auto_wrap_policy fsdp_transformer_layer_cls_to_wrap
        fsdp_backward_prefetch fsdp_state_dict_type fsdp_forward_prefetch fsdp_use_orig_params fsdp_cpu_ram_efficient_loading fsdp_sync_module_states fsdp_activation_checkpointing
        parallelism_config_dp_replicate_size parallelism_config_dp_shard_size parallelism_config_tp_size parallelism_config_cp_size parallelism_config_cp_backend
        parallelism_config_cp_comm_strategy parallelism_config_sp_size parallelism_config_sp_backend parallelism_config_sp_seq_length
        parallelism_config_sp_seq_length_is_variable parallelism_config_sp_attn_implementation
        fp8_backend fp8_use_autocast_during_eval fp8_margin fp8_interval fp8_format fp8_amax_history_len fp8_amax_compute_algo fp8_override_linear_precision fp8_opt_level
        fp8_enable_fsdp_float8_all_gather fp8_pad_inner_dim mpirun_hostfile
        """;

    [Fact]
    public void Commands_and_options_are_those_that_were_approved()
    {
        var received = new StringBuilder();
        Describe(CommandLine.Commands(), "accelerate", received);
        var folder = Path.Combine(AppContext.BaseDirectory, "Approved");
        File.WriteAllText(Path.Combine(folder, "flags.received.txt"), received.ToString());
        Assert.Equal(File.ReadAllText(Path.Combine(folder, "flags.txt")), received.ToString());
    }

    [Fact]
    public void Every_generic_option_of_the_reference_is_there_in_both_spellings()
    {
        var launch = CommandLine.Commands().Subcommands.Single(command => command.Name == "launch");
        var names = launch.Options.SelectMany(option => option.Aliases.Prepend(option.Name)).ToHashSet();
        foreach (var flag in Reference.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries))
        {
            Assert.Contains("--" + flag, names);
            Assert.Contains("--" + flag.Replace('_', '-'), names);
        }
        foreach (var letter in (string[])["-q", "-m", "-t"]) Assert.Contains(letter, names);
    }

    private static void Describe(Command command, string path, StringBuilder text)
    {
        text.Append(path).Append('\n');
        foreach (var option in command.Options.OrderBy(option => option.Name, StringComparer.Ordinal))
        {
            var type = Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType;
            text.Append("  ").AppendJoin(' ', option.Aliases.Where(alias => alias != "--" + option.Name[2..].Replace('_', '-') || alias == option.Name).Order(StringComparer.Ordinal).Prepend(option.Name).Distinct());
            text.Append(type == typeof(bool) || option.Arity.MaximumNumberOfValues == 0 ? "" : $" <{type.Name}>").Append('\n');
        }
        foreach (var sub in command.Subcommands) Describe(sub, $"{path} {sub.Name}", text);
    }
}
