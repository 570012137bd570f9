using AccelerateSharp.Configuration;

namespace AccelerateSharp.Core.Tests.Configuration;

public sealed class ConfigFileTests
{
    private const string Ddp = """
        compute_environment: LOCAL_MACHINE
        distributed_type: MULTI_GPU
        main_training_function: main
        mixed_precision: bf16
        num_machines: 1
        num_processes: 8
        """;

    private const string FullySharded = """
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

    [Fact]
    public void Data_parallel_on_eight_GPUs()
    {
        var config = Understood(Ddp);
        Assert.Equal(("MULTI_GPU", "bf16", 8, 1), (config.DistributedType, config.MixedPrecision, config.NumProcesses, config.NumMachines));
        Assert.Equal((false, false, 0, "static"), (config.UseCpu, config.Debug, config.MachineRank, config.RdzvBackend));
    }

    [Fact]
    public void Fully_sharded_on_eight_GPUs()
    {
        var config = Understood(FullySharded);
        Assert.Equal(("FSDP", "bf16", 8), (config.DistributedType, config.MixedPrecision, config.NumProcesses));
        Assert.Equal(
            new ConfigSection
            {
                ["fsdp_auto_wrap_policy"] = "TRANSFORMER_BASED_WRAP",
                ["fsdp_backward_prefetch"] = "BACKWARD_PRE",
                ["fsdp_cpu_ram_efficient_loading"] = true,
                ["fsdp_forward_prefetch"] = false,
                ["fsdp_offload_params"] = false,
                ["fsdp_sharding_strategy"] = "FULL_SHARD",
                ["fsdp_state_dict_type"] = "SHARDED_STATE_DICT",
                ["fsdp_sync_module_states"] = true,
                ["fsdp_use_orig_params"] = false,
            },
            config.Fsdp);
    }

    [Theory]
    [InlineData("NO")]
    [InlineData("'NO'")]
    [InlineData("no")]
    [InlineData("\"no\"")]
    [InlineData("false")]
    public void No_means_no_however_it_is_written(string no)
    {
        var config = Understood($"distributed_type: {no}\nmixed_precision: {no}\nuse_cpu: {no}\n");
        Assert.Equal(("NO", "no", false, 1), (config.DistributedType, config.MixedPrecision, config.UseCpu, config.NumProcesses));
    }

    [Theory]
    [InlineData("yes", true)]
    [InlineData("'Yes'", true)]
    [InlineData("on", true)]
    [InlineData("TRUE", true)]
    [InlineData("off", false)]
    [InlineData("N", false)]
    public void Switches_are_written_in_many_ways(string text, bool expected) =>
        Assert.Equal(expected, Understood($"distributed_type: MULTI_CPU\ndebug: {text}\n").Debug);

    [Theory]
    [InlineData("config.json")]
    [InlineData("config.yaml")]
    public void Json_is_read_whatever_the_file_is_called(string name)
    {
        var file = ConfigFile.Parse(name, """{"distributed_type": "MULTI_CPU", "main_process_ip": "\u0061\/b", "num_processes": 4, "main_process_port": null, "fp8_config": {}}""");
        Assert.Empty(file.Problems);
        Assert.Equal(("MULTI_CPU", "a/b", 4, null), (file.Config.DistributedType, file.Config.MainProcessIp, file.Config.NumProcesses, file.Config.MainProcessPort));
    }

    [Fact]
    public void Yaml_in_braces_is_not_taken_for_json() => Assert.Equal(3, Understood("{distributed_type: MULTI_CPU, num_processes: 3}").NumProcesses);

    [Fact]
    public void Every_key_of_the_reference_is_known()
    {
        var file = ConfigFile.Parse("all.yaml", """
            command_file: null
            commands: null
            compute_environment: LOCAL_MACHINE
            debug: true
            deepspeed_config: {deepspeed_config_file: a, zero_stage: 3, offload_optimizer_device: nvme, offload_param_device: cpu,
              offload_optimizer_nvme_path: /nvme, offload_param_nvme_path: /nvme, gradient_accumulation_steps: 2, gradient_clipping: 1.5,
              zero3_init_flag: true, zero3_save_16bit_model: true, deepspeed_moe_layer_cls_names: "A,B", deepspeed_multinode_launcher: pdsh,
              deepspeed_hostfile: h, deepspeed_exclusion_filter: e, deepspeed_inclusion_filter: i}
            distributed_type: FSDP
            downcast_bf16: 'yes'
            dynamo_config: {dynamo_backend: INDUCTOR, dynamo_mode: default, dynamo_use_fullgraph: true, dynamo_use_dynamic: false, dynamo_use_regional_compilation: no}
            enable_cpu_affinity: true
            fp8_config: {backend: te, use_autocast_during_eval: false, margin: 0, interval: 1, fp8_format: HYBRID, amax_history_len: 1024,
              amax_compute_algo: max, override_linear_precision: [false, false, true], opt_level: O2, enable_fsdp_float8_all_gather: true, pad_inner_dim: true}
            fsdp_config: {fsdp_version: 2, fsdp_reshard_after_forward: true, fsdp_sharding_strategy: 1, fsdp_offload_params: false,
              fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP, transformer_layer_cls_to_wrap: [A, B], min_num_params: 100_000_000,
              fsdp_backward_prefetch: 2, fsdp_state_dict_type: SHARDED_STATE_DICT, fsdp_forward_prefetch: false, fsdp_use_orig_params: true,
              cpu_ram_efficient_loading: true, fsdp_sync_module_states: true, activation_checkpointing: false, fsdp_ignored_modules: foo.*}
            gpu_ids: 0,1
            machine_rank: 1
            main_process_ip: 10.0.0.1
            main_process_port: '29501'
            main_training_function: main
            megatron_lm_config: {megatron_lm_tp_degree: 2, anything: [1, a, 2.5]}
            mixed_precision: fp8
            mpirun_config: {mpirun_hostfile: /h}
            num_machines: 2
            num_processes: 4
            parallelism_config: {dp_replicate_size: 1, dp_shard_size: 2, tp_size: 1, cp_size: 1, cp_backend: torch, cp_comm_strategy: alltoall, sp_size: 1,
              sp_backend: deepspeed, sp_seq_length: 8, sp_seq_length_is_variable: true, sp_attn_implementation: sdpa}
            rdzv_backend: c10d
            same_network: true
            tpu_env: []
            tpu_name: null
            tpu_use_cluster: false
            tpu_use_sudo: false
            tpu_vm: null
            tpu_zone: zone
            use_cpu: false
            """);
        Assert.Empty(file.Errors);
        var config = file.Config;
        Assert.Equal((4, 2, 1, "10.0.0.1", 29501), (config.NumProcesses, config.NumMachines, config.MachineRank, config.MainProcessIp, config.MainProcessPort));
        Assert.Equal(("0,1", "c10d", true), (config.GpuIds, config.RdzvBackend, config.SameNetwork));
        Assert.Equal(("FULL_SHARD", "A,B", 100_000_000, "BACKWARD_POST"),
            (config.Fsdp.Text("fsdp_sharding_strategy"), config.Fsdp.Text("fsdp_transformer_layer_cls_to_wrap"), config.Fsdp.Whole("fsdp_min_num_params"), config.Fsdp.Text("fsdp_backward_prefetch")));
        Assert.Equal("TE", config.Fp8.Text("backend"));
        Assert.Equal(new ConfigReal(1.5), config.DeepSpeed["gradient_clipping"]);
        Assert.Equal(2, config.Parallelism.Whole("parallelism_config_dp_shard_size"));
        Assert.Equal(new ConfigList([1, "a", 2.5]), config.MegatronLm["anything"]);
        string[] ignored = ["downcast_bf16", "tpu_zone", "dynamo_backend", "dynamo_mode", "dynamo_use_fullgraph"];
        Assert.All(ignored, key => Assert.Contains(file.Warnings, warning => warning.Message.Contains($"'{key}'", StringComparison.Ordinal)));
        // What is off by default is no news.
        Assert.DoesNotContain(file.Warnings, warning => warning.Message.Contains("tpu_env", StringComparison.Ordinal) || warning.Message.Contains("tpu_use", StringComparison.Ordinal));
    }

    [Fact]
    public void Files_of_early_versions_are_understood()
    {
        var first = ConfigFile.Parse("0.1.yaml", "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nfp16: true\nmachine_rank: 0\nmain_process_ip: null\nnum_processes: 2\n");
        Assert.Empty(first.Problems);
        Assert.Equal("fp16", first.Config.MixedPrecision);

        var second = ConfigFile.Parse("0.14.yaml", """
            deepspeed_config: {}
            distributed_type: FSDP
            dynamo_backend: 'NO'
            fsdp_config:
              fsdp_backward_prefetch_policy: BACKWARD_PRE
              fsdp_offload_params: false
              fsdp_sharding_strategy: 2
              fsdp_state_dict_type: 1
            mixed_precision: 'no'
            num_processes: 2
            """);
        Assert.Empty(second.Problems);
        Assert.Equal(("SHARD_GRAD_OP", "FULL_STATE_DICT", "BACKWARD_PRE"),
            (second.Config.Fsdp.Text("fsdp_sharding_strategy"), second.Config.Fsdp.Text("fsdp_state_dict_type"), second.Config.Fsdp.Text("fsdp_backward_prefetch")));
        Assert.Null(second.Config.Values["dynamo_config"]);

        var third = ConfigFile.Parse("0.20.yaml", "distributed_type: MULTI_CPU\ndynamo_backend: INDUCTOR\nipex_config:\n  ipex: true\nnum_processes: 2\nuse_cpu: true\n");
        Assert.Empty(third.Errors);
        Assert.Equal(["0.20.yaml:2: warning: dynamo_backend is for torch.compile, which libtorch does not have: it has no effect",
            "0.20.yaml:3: warning: 'ipex_config' is for Intel's extension of PyTorch, which AccelerateSharp does not use: it has no effect"], third.Warnings.Select(warning => warning.ToString()));
        Assert.Equal("INDUCTOR", (third.Config.Values["dynamo_config"] as ConfigSection)?.Text("dynamo_backend"));
    }

    [Fact]
    public void The_names_that_only_the_questionnaire_of_the_reference_uses_count()
    {
        var fp8 = Understood("distributed_type: 'NO'\nmixed_precision: fp8\nfp8_config:\n  backend: MSAMP\n  optimization_level: O1\n  amax_history_length: 16\n  amax_compute_algorithm: max\n").Fp8;
        Assert.Equal(("O1", 16, "max"), (fp8.Text("opt_level"), fp8.Whole("amax_history_len"), fp8.Text("amax_compute_algo")));
    }

    [Theory]
    [InlineData("/h", null, null, "/h/.cache/huggingface/accelerate/default_config.yaml")]
    [InlineData("/h", null, "/x", "/x/huggingface/accelerate/default_config.yaml")]
    [InlineData("/h", "/hf", "/x", "/hf/accelerate/default_config.yaml")]
    [InlineData("/h", "~/hf", null, "/h/hf/accelerate/default_config.yaml")]
    public void Where_the_default_is(string home, string? huggingFace, string? cache, string expected) =>
        Assert.Equal(expected, ConfigLocation.Default(name => name switch { "HOME" => home, "HF_HOME" => huggingFace, "XDG_CACHE_HOME" => cache, _ => null }));

    [Fact]
    public void A_default_in_json_is_found_where_there_is_none_in_yaml()
    {
        var home = Directory.CreateTempSubdirectory();
        try
        {
            var folder = home.CreateSubdirectory("accelerate").FullName;
            File.WriteAllText(Path.Combine(folder, "default_config.json"), "{}");
            Assert.Equal(Path.Combine(folder, "default_config.json"), ConfigLocation.Default(name => name == "HF_HOME" ? home.FullName : null));
        }
        finally
        {
            home.Delete(recursive: true);
        }
    }

    private static ClusterConfig Understood(string text)
    {
        var file = ConfigFile.Parse("config.yaml", text);
        Assert.Empty(file.Problems);
        return file.Config;
    }
}
