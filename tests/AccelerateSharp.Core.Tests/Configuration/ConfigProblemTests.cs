using AccelerateSharp.Configuration;

namespace AccelerateSharp.Core.Tests.Configuration;

public sealed class ConfigProblemTests
{
    private const string OneProcess = "distributed_type: 'NO'\n";
    private const string Gpus = "distributed_type: MULTI_GPU\nnum_processes: 4\n";
    private const string FullySharded = "distributed_type: FSDP\nnum_processes: 4\nfsdp_config:\n";
    private const string DeepSpeed = "distributed_type: DEEPSPEED\nnum_processes: 4\ndeepspeed_config:\n";

    [Theory]
    // What is no configuration at all.
    [InlineData("", 1, "error", "the file is empty")]
    [InlineData("# nothing\n", 1, "error", "the file is empty")]
    [InlineData("- a\n", 1, "error", "expected keys and values ('num_processes: 2'), found a list")]
    [InlineData("\nhello\n", 2, "error", "found a single value")]
    [InlineData("debug: true\na: [1,\n", 3, "error", "this is not YAML: ")]
    [InlineData("debug: &a true\nuse_cpu: *a\n", 2, "error", "references (*name) are not read here")]
    [InlineData("debug: true\n---\ndebug: false\n", 2, "error", "a second document starts here")]
    [InlineData("[a]: b\n", 1, "error", "keys are words")]
    [InlineData("debug: true\n", 1, "error", "distributed_type is missing")]
    [InlineData("compute_environment: AMAZON_SAGEMAKER\nprofile: a\n", 1, "error", "AMAZON_SAGEMAKER is not supported")]
    // Keys.
    [InlineData(OneProcess + "num_process: 1\n", 2, "error", "unknown key 'num_process'. Did you mean 'num_processes'?")]
    [InlineData(OneProcess + "mixed_precison: fp16\n", 2, "error", "unknown key 'mixed_precison'. Did you mean 'mixed_precision'?")]
    [InlineData(OneProcess + "zero_stage: 3\n", 2, "error", "unknown key 'zero_stage'. It belongs to deepspeed_config.")]
    [InlineData(OneProcess + "xyzzy: 3\n", 2, "error", "unknown key 'xyzzy'.")]
    [InlineData(FullySharded + "  fsdp_ofload_params: true\n", 4, "error", "unknown key 'fsdp_ofload_params' in fsdp_config. Did you mean 'fsdp_offload_params'?")]
    [InlineData(FullySharded + "  use_cpu: true\n", 4, "error", "unknown key 'use_cpu' in fsdp_config. It belongs to the top of the file.")]
    [InlineData(OneProcess + "debug: true\ndebug: true\n", 3, "error", "'debug' is here a second time; the first is in line 2")]
    // Types.
    [InlineData(OneProcess + "num_processes: eight\n", 2, "error", "'num_processes': expected a whole number, found 'eight'.")]
    [InlineData(OneProcess + "num_processes: 1.5\n", 2, "error", "'num_processes': expected a whole number, found '1.5'.")]
    [InlineData(OneProcess + "num_processes: [1]\n", 2, "error", "'num_processes': expected a whole number, found a list.")]
    [InlineData(OneProcess + "num_processes: 99999999999\n", 2, "error", "expected a whole number, found '99999999999'.")]
    [InlineData(OneProcess + "debug: maybe\n", 2, "error", "'debug': expected true or false, found 'maybe'.")]
    [InlineData(OneProcess + "mixed_precision: bf61\n", 2, "error", "expected one of no, fp16, bf16, fp8, found 'bf61'. Did you mean 'bf16'?")]
    [InlineData("distributed_type: MULTI_GPUS\n", 1, "error", "found 'MULTI_GPUS'. Did you mean 'MULTI_GPU'?")]
    [InlineData(OneProcess + "fsdp_config: yes\n", 2, "error", "'fsdp_config': expected a section of keys and values, found 'yes'.")]
    [InlineData(OneProcess + "main_process_ip:\n  a: b\n", 2, "error", "'main_process_ip': expected text, found a section.")]
    [InlineData(DeepSpeed + "  gradient_clipping: high\n", 4, "error", "'gradient_clipping' in deepspeed_config: expected a number, found 'high'.")]
    [InlineData(FullySharded + "  fsdp_reshard_after_forward: 3\n", 4, "error", "expected true, false or one of FULL_SHARD")]
    [InlineData(FullySharded + "  fsdp_sharding_strategy: 6\n", 4, "error", "found '6'.")]
    // Contradictions.
    [InlineData("distributed_type: MULTI_CPU\nnum_machines: 0\n", 2, "error", "num_machines 0")]
    [InlineData("distributed_type: MULTI_CPU\nmachine_rank: -1\n", 2, "error", "machine_rank -1")]
    [InlineData("distributed_type: MULTI_CPU\nnum_machines: 2\nmachine_rank: 2\n", 3, "error", "machine_rank 2 is not below num_machines 2")]
    [InlineData("distributed_type: MULTI_CPU\nnum_processes: 0\n", 2, "error", "num_processes 0")]
    [InlineData("distributed_type: MULTI_CPU\nnum_processes: 3\nnum_machines: 2\n", 2, "error", "num_processes 3 cannot be divided among num_machines 2")]
    [InlineData("distributed_type: MULTI_CPU\nmain_process_port: 70000\n", 2, "error", "main_process_port 70000")]
    [InlineData("distributed_type: MULTI_CPU\nmain_process_port: 0\nnum_machines: 2\n", 2, "error", "main_process_port 0")]
    [InlineData(OneProcess + "num_processes: 2\n", 1, "error", "distributed_type NO is for one process, num_processes is 2")]
    [InlineData("distributed_type: MULTI_GPU\nnum_processes: 1\n", 1, "warning", "is a single process")]
    [InlineData(Gpus + "use_cpu: true\n", 3, "error", "use_cpu: true contradicts distributed_type MULTI_GPU")]
    [InlineData("distributed_type: MULTI_CPU\nuse_cpu: false\n", 2, "warning", "the job runs on the CPU")]
    [InlineData("distributed_type: MULTI_XPU\n", 1, "warning", "distributed_type MULTI_XPU is for hardware")]
    [InlineData("distributed_type: MULTI_CPU\nuse_cpu: true\ngpu_ids: 0,1\n", 3, "warning", "gpu_ids has no effect with use_cpu: true")]
    [InlineData(Gpus + "gpu_ids: 0,1,2,2\n", 3, "error", "names a GPU twice")]
    [InlineData("distributed_type: MULTI_GPU\ngpu_ids: '0'\n", 2, "error", "at least two GPUs")]
    [InlineData(Gpus + "gpu_ids: 0,1\n", 3, "error", "num_processes 4 is more than the 2 GPUs")]
    [InlineData(Gpus + "fsdp_config:\n  fsdp_offload_params: true\n", 3, "warning", "fsdp_config has no effect with distributed_type MULTI_GPU")]
    [InlineData(Gpus + "deepspeed_config:\n  zero_stage: 2\n", 3, "warning", "deepspeed_config has no effect")]
    [InlineData(Gpus + "mpirun_config:\n  mpirun_hostfile: h\n", 3, "warning", "mpirun_config has no effect")]
    [InlineData(Gpus + "megatron_lm_config:\n  a: b\n", 3, "warning", "megatron_lm_config has no effect")]
    [InlineData("distributed_type: MEGATRON_LM\n", 1, "warning", "AccelerateSharp has no Megatron-LM")]
    [InlineData(OneProcess + "fp8_config:\n  backend: TE\n", 2, "warning", "fp8_config has no effect with mixed_precision no")]
    [InlineData(FullySharded + "  fsdp_version: 3\n", 4, "error", "fsdp_version 3")]
    [InlineData(FullySharded + "  fsdp_min_num_params: -1\n", 4, "error", "fsdp_min_num_params")]
    [InlineData(FullySharded + "  fsdp_cpu_ram_efficient_loading: true\n  fsdp_sync_module_states: false\n", 5, "error", "needs fsdp_sync_module_states: true")]
    [InlineData(FullySharded + "  fsdp_transformer_layer_cls_to_wrap: A\n", 4, "warning", "without fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP")]
    [InlineData(FullySharded + "  fsdp_version: 2\n  fsdp_state_dict_type: LOCAL_STATE_DICT\n", 5, "error", "no LOCAL_STATE_DICT")]
    [InlineData(FullySharded + "  fsdp_version: 2\n  fsdp_use_orig_params: true\n", 5, "warning", "fsdp_use_orig_params belongs to fsdp_version 1")]
    [InlineData(DeepSpeed + "  zero_stage: 4\n", 4, "error", "zero_stage 4")]
    [InlineData(DeepSpeed + "  deepspeed_config_file: ds.json\n  zero_stage: 2\n", 5, "error", "zero_stage is said by 'ds.json'")]
    [InlineData(DeepSpeed + "  deepspeed_config_file: ds.json\nmixed_precision: bf16\n", 5, "error", "mixed_precision is said by 'ds.json'")]
    [InlineData(DeepSpeed + "  zero_stage: 2\n  offload_param_device: cpu\n", 5, "warning", "offload_param_device has no effect with zero_stage 2")]
    [InlineData(DeepSpeed + "  zero_stage: 1\n  offload_optimizer_device: cpu\n", 5, "warning", "offload_optimizer_device has no effect with zero_stage 1")]
    [InlineData(DeepSpeed + "  zero_stage: 2\n  zero3_init_flag: true\n", 5, "warning", "zero3_init_flag has no effect with zero_stage 2")]
    [InlineData(Gpus + "parallelism_config:\n  tp_size: 2\n", 3, "error", "parallelism_config needs distributed_type FSDP")]
    [InlineData(FullySharded + "  fsdp_version: 1\nparallelism_config:\n  tp_size: 2\n", 5, "error", "parallelism_config needs fsdp_version: 2")]
    [InlineData(FullySharded + "  fsdp_version: 2\nparallelism_config:\n  tp_size: 0\n", 6, "error", "parallelism_config_tp_size is at least 1")]
    // Hardware and engines that are not here.
    [InlineData(OneProcess + "tpu_name: pod\n", 2, "warning", "'tpu_name' is for TPUs, which AccelerateSharp does not run on: it has no effect")]
    [InlineData(OneProcess + "dynamo_config:\n  dynamo_backend: INDUCTOR\n", 3, "warning", "'dynamo_backend' in dynamo_config is for torch.compile")]
    public void One_thing_wrong_is_one_message_with_its_line(string text, int line, string severity, string message)
    {
        var problem = Assert.Single(ConfigFile.Parse("config.yaml", text).Problems);
        Assert.StartsWith($"config.yaml:{line}: {severity}: ", problem.ToString(), StringComparison.Ordinal);
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_problems_are_told_at_once_in_the_order_of_their_lines()
    {
        var file = ConfigFile.Parse("config.yaml", """
            distributed_type: MULTI_GPU
            num_proceses: 8
            machine_rank: 1
            mixed_precision: int8
            use_cpu: yes
            fsdp_config:
              fsdp_version: two
              shard: 1
            """);
        Assert.Equal([2, 3, 4, 5, 7, 8], file.Errors.Select(problem => problem.Line));
        Assert.Equal(6, file.ErrorText().Split('\n').Length);
    }

    [Fact]
    public void A_value_that_was_refused_leads_to_no_second_message()
    {
        var problems = ConfigFile.Parse("config.yaml", "distributed_type: MULTI_CPU\nnum_machines: two\nmachine_rank: 1\nnum_processes: 3\n").Problems;
        Assert.Equal(2, Assert.Single(problems).Line);
    }

    [Theory]
    [InlineData("{\n  \"distributed_type\": \"NO\",\n  \"debg\": true\n}", 3, "Did you mean 'debug'?")]
    [InlineData("{\n  \"distributed_type\": \"NO\",\n  \"debug\": \"maybe\"\n}", 3, "expected true or false, found 'maybe'")]
    [InlineData("{\n  \"distributed_type\":\n}", 3, "this is not JSON: ")]
    [InlineData("{\"distributed_type\": \"NO\"} 1", 1, "this is not JSON: ")]
    [InlineData("{\"distributed_type\": \"NO\"", 1, "this is not JSON: ")]
    [InlineData(" \n", 1, "the file is empty")]
    public void Problems_of_json_have_lines_too(string text, int line, string message)
    {
        var problem = Assert.Single(ConfigFile.Parse("config.json", text).Problems);
        Assert.Equal((true, line), (problem.IsError, problem.Line));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Depth_has_a_limit()
    {
        var deep = new string('[', 5000) + new string(']', 5000);
        Assert.Contains("nested more than", Assert.Single(ConfigFile.Parse("config.yaml", "debug: " + deep).Problems).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("num_process", "num_processes", 2)]
    [InlineData("dbeug", "debug", 1)]
    [InlineData("", "abc", 3)]
    [InlineData("same", "same", 0)]
    public void Distance_counts_letters_to_change(string a, string b, int expected)
    {
        Assert.Equal(expected, Spelling.Distance(a, b));
        Assert.Equal(expected, Spelling.Distance(b, a));
    }
}
