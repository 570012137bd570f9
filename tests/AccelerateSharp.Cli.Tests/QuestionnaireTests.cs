using AccelerateSharp.Cli.Configuration;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Tests;

public sealed class QuestionnaireTests
{
    private const string Always = """
        compute_environment: LOCAL_MACHINE
        debug: false
        downcast_bf16: 'no'
        enable_cpu_affinity: false
        main_training_function: main
        tpu_env: []
        tpu_use_cluster: false
        tpu_use_sudo: false

        """;

    [Fact]
    public void One_GPU_needs_no_answers() => AssertWrites(
        "distributed_type: 'NO'\ngpu_ids: all\nmachine_rank: 0\nmixed_precision: 'no'\nnum_machines: 1\nnum_processes: 1\nrdzv_backend: static\nsame_network: true\nuse_cpu: false\n", []);

    [Fact]
    public void One_CPU() => AssertWrites(
        "distributed_type: 'NO'\nmachine_rank: 0\nmixed_precision: bf16\nnum_machines: 1\nnum_processes: 1\nrdzv_backend: static\nsame_network: true\nuse_cpu: true\n",
        [("CPU only", "yes"), ("mixed precision", "bf16")]);

    [Fact]
    public void Many_CPU_processes_with_mpirun() => AssertWrites(
        "distributed_type: MULTI_CPU\nmachine_rank: 0\nmixed_precision: 'no'\nmpirun_config:\n  mpirun_hostfile: /hosts\nnum_machines: 1\nnum_processes: 4\nrdzv_backend: static\nsame_network: true\nuse_cpu: true\n",
        [("kind of machine", "multi-CPU"), ("mpirun?", "yes"), ("hostfile", "/hosts"), ("How many processes", "4")]);

    [Fact]
    public void Many_GPUs() => AssertWrites(
        "distributed_type: MULTI_GPU\ngpu_ids: all\nmachine_rank: 0\nmixed_precision: bf16\nnum_machines: 1\nnum_processes: 2\nrdzv_backend: static\nsame_network: true\nuse_cpu: false\n",
        [("kind of machine", "multi-GPU"), ("How many GPUs", "2"), ("mixed precision", "bf16")]);

    [Fact]
    public void Many_machines_apart() => AssertWrites(
        "distributed_type: MULTI_GPU\ngpu_ids: 0,1\nmachine_rank: 1\nmain_process_ip: 10.0.0.1\nmain_process_port: 29501\nmixed_precision: 'no'\nnum_machines: 2\nnum_processes: 4\nrdzv_backend: c10d\nsame_network: false\nuse_cpu: false\n",
        [
            ("kind of machine", "multi-GPU"), ("How many machines", "2"), ("rank", "1"), ("address", "10.0.0.1"), ("port", "29501"),
            ("same local network", "no"), ("backend", "c10d"), ("over all machines", "4"), ("Which GPUs", "0, 1"),
        ]);

    [Fact]
    public void Fsdp_version_1() => AssertWrites(
        """
        distributed_type: FSDP
        fsdp_config:
          fsdp_activation_checkpointing: false
          fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
          fsdp_backward_prefetch: BACKWARD_PRE
          fsdp_cpu_ram_efficient_loading: true
          fsdp_forward_prefetch: false
          fsdp_offload_params: false
          fsdp_sharding_strategy: SHARD_GRAD_OP
          fsdp_state_dict_type: SHARDED_STATE_DICT
          fsdp_sync_module_states: true
          fsdp_transformer_layer_cls_to_wrap: Block
          fsdp_use_orig_params: true
          fsdp_version: 1
        machine_rank: 0
        mixed_precision: 'no'
        num_machines: 1
        num_processes: 8
        rdzv_backend: static
        same_network: true
        use_cpu: false

        """,
        [("kind of machine", "multi-GPU"), ("FSDP?", "yes"), ("version of FSDP", "version 1"), ("strategy", "SHARD_GRAD_OP"), ("classes of its layers", "Block"), ("How many GPUs", "8")],
        isUnasked: "Which GPUs");

    [Fact]
    public void Fsdp_version_2() => AssertWrites(
        """
        distributed_type: FSDP
        fsdp_config:
          fsdp_activation_checkpointing: true
          fsdp_auto_wrap_policy: SIZE_BASED_WRAP
          fsdp_cpu_ram_efficient_loading: true
          fsdp_min_num_params: 100000000
          fsdp_offload_params: false
          fsdp_reshard_after_forward: true
          fsdp_state_dict_type: SHARDED_STATE_DICT
          fsdp_version: 2
        machine_rank: 0
        mixed_precision: 'no'
        num_machines: 1
        num_processes: 8
        rdzv_backend: static
        same_network: true
        use_cpu: false

        """,
        [
            ("kind of machine", "multi-GPU"), ("FSDP?", "yes"), ("unit", "SIZE_BASED_WRAP"), ("activations", "yes"),
            ("How many GPUs", "8"),
        ]);

    [Fact]
    public void DeepSpeed_at_stage_3_with_offload() => AssertWrites(
        """
        deepspeed_config:
          gradient_accumulation_steps: 4
          gradient_clipping: 0.5
          offload_optimizer_device: nvme
          offload_optimizer_nvme_path: /nvme
          offload_param_device: cpu
          zero3_init_flag: false
          zero3_save_16bit_model: true
          zero_stage: 3
        distributed_type: DEEPSPEED
        machine_rank: 0
        mixed_precision: bf16
        num_machines: 1
        num_processes: 1
        rdzv_backend: static
        same_network: true
        use_cpu: false

        """,
        [
            ("DeepSpeed (ZeRO)?", "yes"), ("sharded?", "Optimizer state, gradients and parameters (stage 3)"), ("optimizer state?", "nvme"), ("parameters that are not in use", "cpu"),
            ("batches", "4"), ("clipped", "yes"), ("norm", "0.5"), ("whole model saved", "yes"), ("mixed precision", "bf16"),
        ]);

    [Fact]
    public void A_DeepSpeed_file_says_the_precision_itself() => AssertWrites(
        "deepspeed_config:\n  deepspeed_config_file: ds.json\n  zero3_init_flag: false\ndistributed_type: DEEPSPEED\nmachine_rank: 0\nnum_machines: 1\nnum_processes: 4\nrdzv_backend: static\nsame_network: true\nuse_cpu: false\n",
        [("kind of machine", "multi-GPU"), ("DeepSpeed (ZeRO)?", "yes"), ("configuration file", "yes"), ("Where is it", "ds.json"), ("How many GPUs", "4")],
        isUnasked: "mixed precision");

    [Theory]
    [InlineData("AO", "  backend: AO\n  enable_fsdp_float8_all_gather: true\n  pad_inner_dim: true\n")]
    [InlineData("MSAMP", "  backend: MSAMP\n  opt_level: O2\n")]
    [InlineData("TE", "  amax_compute_algo: most_recent\n  amax_history_len: 1024\n  backend: TE\n  fp8_format: HYBRID\n  interval: 1\n  margin: 0\n  use_autocast_during_eval: false\n")]
    public void Fp8_by_each_recipe(string backend, string section) => AssertWrites(
        $"distributed_type: 'NO'\nfp8_config:\n{section}gpu_ids: all\nmachine_rank: 0\nmixed_precision: fp8\nnum_machines: 1\nnum_processes: 1\nrdzv_backend: static\nsame_network: true\nuse_cpu: false\n",
        [("mixed precision", "fp8"), ("recipe", backend)]);

    [Theory]
    [InlineData("How many GPUs", "1", "1 is below 2.")]
    [InlineData("How many GPUs", "many", "'many' is not a whole number.")]
    [InlineData("Which GPUs", "0,a", "Type numbers")]
    [InlineData("Which GPUs", "0,0", "named twice")]
    [InlineData("Which GPUs", "0", "need as many GPUs")]
    [InlineData("How many machines", "0", "0 is below 1.")]
    [InlineData("collective operation", "perhaps", "Please answer yes or no.")]
    public void Answers_that_make_no_sense_are_told_so(string question, string answer, string problem)
    {
        var exception = Assert.Throws<ArgumentException>(() => new Questionnaire(new Answers(("kind of machine", "multi-GPU"), (question, answer))).Run());
        Assert.Contains(problem, exception.Message, StringComparison.Ordinal);
    }

    private static void AssertWrites(string expected, (string, string)[] answers, string? isUnasked = null)
    {
        var questions = new Answers(answers);
        var text = ConfigWriter.ToYaml(new Questionnaire(questions).Run());
        var common = Always.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(expected, string.Concat(text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !common.Contains(line)).Select(line => line + "\n")));
        Assert.All(common, line => Assert.Contains(line + "\n", text, StringComparison.Ordinal));
        questions.AssertAllWereUsed();
        if (isUnasked is not null) Assert.DoesNotContain(questions.Asked, question => question.Contains(isUnasked, StringComparison.Ordinal));
        // What is written can be used.
        Assert.Empty(ConfigFile.Parse("written.yaml", text).Problems);
    }
}
