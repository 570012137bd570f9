using static AccelerateSharp.Configuration.ConfigKind;

namespace AccelerateSharp.Configuration;

/// <summary>Every key of the reference's configuration file.</summary>
internal static class ConfigKeys
{
    public const string ComputeEnvironment = "compute_environment";
    public const string Debug = "debug";
    public const string DeepSpeed = "deepspeed_config";
    public const string DistributedType = "distributed_type";
    public const string Dynamo = "dynamo_config";
    public const string EnableCpuAffinity = "enable_cpu_affinity";
    public const string Fp8 = "fp8_config";
    public const string Fsdp = "fsdp_config";
    public const string GpuIds = "gpu_ids";
    public const string MachineRank = "machine_rank";
    public const string MainProcessIp = "main_process_ip";
    public const string MainProcessPort = "main_process_port";
    public const string MainTrainingFunction = "main_training_function";
    public const string MegatronLm = "megatron_lm_config";
    public const string MixedPrecision = "mixed_precision";
    public const string Mpirun = "mpirun_config";
    public const string NumMachines = "num_machines";
    public const string NumProcesses = "num_processes";
    public const string Parallelism = "parallelism_config";
    public const string RdzvBackend = "rdzv_backend";
    public const string SameNetwork = "same_network";
    public const string UseCpu = "use_cpu";

    public const string LocalMachine = "LOCAL_MACHINE";
    public const string SageMaker = "AMAZON_SAGEMAKER";

    private const string ForTpu = "is for TPUs, which AccelerateSharp does not run on";
    private const string ForDynamo = "is for torch.compile, which libtorch does not have";

    public static readonly string[] ShardingStrategies = ["FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2"];
    public static readonly string[] WrapPolicies = ["TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"];
    public static readonly string[] BackwardPrefetches = ["BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH"];
    public static readonly string[] StateDictTypes = ["FULL_STATE_DICT", "LOCAL_STATE_DICT", "SHARDED_STATE_DICT"];
    public static readonly string[] Precisions = ["no", "fp16", "bf16", "fp8"];
    public static readonly string[] OffloadDevices = ["none", "cpu", "nvme"];
    public static readonly string[] MultiNodeLaunchers = ["pdsh", "standard", "openmpi", "mvapich", "mpich", "nossh", "slurm"];
    public static readonly string[] Fp8Backends = ["AO", "TE", "MSAMP"];

    /// <summary>The distributed types of hardware that we do not run on.</summary>
    public static readonly string[] ForeignTypes =
        ["XLA", "TPU", "MPS", "MULTI_XPU", "MULTI_HPU", "MULTI_NPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_NEURON"];

    private static readonly ConfigSchema _fsdp = new("fsdp_", isOpen: false,
        new("fsdp_version", Whole),
        new("fsdp_reshard_after_forward", SwitchOrChoice) { Choices = ShardingStrategies },
        new("fsdp_sharding_strategy", Choice) { Choices = ShardingStrategies, IsNumbered = true },
        new("fsdp_offload_params", Switch),
        new("fsdp_auto_wrap_policy", Choice) { Choices = WrapPolicies },
        new("fsdp_transformer_layer_cls_to_wrap", Names),
        new("fsdp_min_num_params", Whole),
        new("fsdp_backward_prefetch", Choice) { Choices = BackwardPrefetches, IsNumbered = true },
        new("fsdp_backward_prefetch_policy", Choice) { Choices = BackwardPrefetches, IsNumbered = true, NameToday = "fsdp_backward_prefetch" },
        new("fsdp_state_dict_type", Choice) { Choices = StateDictTypes, IsNumbered = true },
        new("fsdp_forward_prefetch", Switch),
        new("fsdp_use_orig_params", Switch),
        new("fsdp_cpu_ram_efficient_loading", Switch),
        new("fsdp_sync_module_states", Switch),
        new("fsdp_activation_checkpointing", Switch),
        new("fsdp_ignored_modules", Names));

    private static readonly ConfigSchema _deepSpeed = new("", isOpen: false,
        new("deepspeed_config_file", Text),
        new("zero_stage", Whole),
        new("offload_optimizer_device", Choice) { Choices = OffloadDevices },
        new("offload_param_device", Choice) { Choices = OffloadDevices },
        new("offload_optimizer_nvme_path", Text),
        new("offload_param_nvme_path", Text),
        new("gradient_accumulation_steps", Whole),
        new("gradient_clipping", Real),
        new("zero3_init_flag", Switch),
        new("zero3_save_16bit_model", Switch),
        new("deepspeed_moe_layer_cls_names", Names),
        new("deepspeed_multinode_launcher", Choice) { Choices = MultiNodeLaunchers },
        new("deepspeed_hostfile", Text),
        new("deepspeed_exclusion_filter", Text),
        new("deepspeed_inclusion_filter", Text));

    // The reference's questionnaire writes three names that its launcher does not read; here they mean what they say.
    private static readonly ConfigSchema _fp8 = new("fp8_", isOpen: false,
        new("backend", Choice) { Choices = Fp8Backends },
        new("use_autocast_during_eval", Switch),
        new("margin", Whole),
        new("interval", Whole),
        new("fp8_format", Choice) { Choices = ["HYBRID", "E4M3", "E5M2"] },
        new("amax_history_len", Whole),
        new("amax_history_length", Whole) { NameToday = "amax_history_len" },
        new("amax_compute_algo", Choice) { Choices = ["max", "most_recent"] },
        new("amax_compute_algorithm", Choice) { Choices = ["max", "most_recent"], NameToday = "amax_compute_algo" },
        new("override_linear_precision", Any),
        new("opt_level", Choice) { Choices = ["O1", "O2", "O3"] },
        new("optimization_level", Choice) { Choices = ["O1", "O2", "O3"], NameToday = "opt_level" },
        new("enable_fsdp_float8_all_gather", Switch),
        new("pad_inner_dim", Switch));

    private static readonly ConfigSchema _dynamo = new("dynamo_", isOpen: false,
        new("dynamo_backend", Text) { Ignored = ForDynamo },
        new("dynamo_mode", Text) { Ignored = ForDynamo },
        new("dynamo_use_fullgraph", Switch) { Ignored = ForDynamo },
        new("dynamo_use_dynamic", Switch) { Ignored = ForDynamo },
        new("dynamo_use_regional_compilation", Switch) { Ignored = ForDynamo });

    private static readonly ConfigSchema _parallelism = new("parallelism_config_", isOpen: false,
        new("parallelism_config_dp_replicate_size", Whole),
        new("parallelism_config_dp_shard_size", Whole),
        new("parallelism_config_tp_size", Whole),
        new("parallelism_config_cp_size", Whole),
        new("parallelism_config_cp_backend", Choice) { Choices = ["torch"] },
        new("parallelism_config_cp_comm_strategy", Choice) { Choices = ["allgather", "alltoall"] },
        new("parallelism_config_sp_size", Whole),
        new("parallelism_config_sp_backend", Choice) { Choices = ["deepspeed"] },
        new("parallelism_config_sp_seq_length", Whole),
        new("parallelism_config_sp_seq_length_is_variable", Switch),
        new("parallelism_config_sp_attn_implementation", Text));

    private static readonly ConfigSchema _mpirun = new("mpirun_", isOpen: false,
        new("mpirun_hostfile", Text),
        new("mpirun_ccl", Any) { Ignored = "chose oneCCL, which the reference no longer reads either" });

    /// <summary>The keys at the top of the file.</summary>
    public static readonly ConfigSchema Root = new("", isOpen: false,
        new(ComputeEnvironment, Choice) { Choices = [LocalMachine, SageMaker] },
        new(DistributedType, Choice)
        {
            Choices = [DistributedTypes.None, DistributedTypes.MultiCpu, DistributedTypes.MultiGpu, DistributedTypes.Fsdp, DistributedTypes.DeepSpeed, DistributedTypes.MegatronLm, "TP", .. ForeignTypes],
        },
        new(MixedPrecision, Choice) { Choices = Precisions },
        new("fp16", Switch) { NameToday = MixedPrecision },
        new(UseCpu, Switch),
        new(Debug, Switch),
        new(EnableCpuAffinity, Switch),
        new(NumProcesses, Whole),
        new(MachineRank, Whole),
        new(NumMachines, Whole),
        new(GpuIds, Names),
        new(MainProcessIp, Text),
        new(MainProcessPort, Whole),
        new(RdzvBackend, Text),
        new(SameNetwork, Switch),
        new(MainTrainingFunction, Text),
        new(Fsdp, Section) { Schema = _fsdp },
        new(DeepSpeed, Section) { Schema = _deepSpeed },
        new(Fp8, Section) { Schema = _fp8 },
        new(Parallelism, Section) { Schema = _parallelism },
        new(Dynamo, Section) { Schema = _dynamo },
        new("dynamo_backend", Text) { NameToday = Dynamo },
        new(Mpirun, Section) { Schema = _mpirun },
        new(MegatronLm, Section) { Schema = new ConfigSchema("", isOpen: true) },
        new("downcast_bf16", Text) { Ignored = ForTpu },
        new("tpu_name", Text) { Ignored = ForTpu },
        new("tpu_zone", Text) { Ignored = ForTpu },
        new("tpu_use_cluster", Switch) { Ignored = ForTpu },
        new("tpu_use_sudo", Switch) { Ignored = ForTpu },
        new("tpu_vm", Any) { Ignored = ForTpu },
        new("tpu_env", Any) { Ignored = ForTpu },
        new("command_file", Text) { Ignored = ForTpu },
        new("commands", Any) { Ignored = ForTpu },
        new("ipex_config", Any) { Ignored = "is for Intel's extension of PyTorch, which AccelerateSharp does not use" },
        new("use_xpu", Switch) { Ignored = "is for Intel GPUs, which AccelerateSharp does not run on" });

    /// <summary>The schemas of the sections.</summary>
    public static readonly IReadOnlyDictionary<string, ConfigSchema> Sections = new Dictionary<string, ConfigSchema>
    {
        [Fsdp] = _fsdp,
        [DeepSpeed] = _deepSpeed,
        [Fp8] = _fp8,
        [Parallelism] = _parallelism,
        [Dynamo] = _dynamo,
        [Mpirun] = _mpirun,
    };
}
