using static AccelerateSharp.Parallel.DeepSpeed.DsKind;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>Every key of DeepSpeed's configuration.</summary>
internal static class DsKeys
{
    private const string Zero = "zero_optimization.";
    private const string ByLayers = "communication goes by the model's layers, not by buckets of a size";
    private const string Always = "this is always so";
    private const string Averages = "collectives average, in an order of their own: the result is the same";
    private const string OwnLoop = "the training loop is the program's own, and so is what it prints";
    private const string OwnTracker = "trackers belong to the program";
    private const string Layout = "parameters are laid out in another way here";
    private const string Unquantized = "ZeRO++'s quantized communication is not available: whole precision is sent";
    private const string OtherMath = "it changes what is trained, and is not available";
    private const string OneAxis = "only data parallelism is available under the DeepSpeed plugin";
    private const string Aio = "the thread pool has no counterpart of it";
    private const string Master = "master weights and gradients are always fp32";

    /// <summary>The keys, each once.</summary>
    public static IReadOnlyList<DsKey> All { get; } =
    [
        new("train_batch_size", Whole),
        new("train_micro_batch_size_per_gpu", Whole),
        new("gradient_accumulation_steps", Whole),
        new("gradient_clipping", Real),
        new("communication_data_type", Text),
        new("fp32_allreduce", Switch),
        new("data_types.grad_accum_dtype", Text),

        new("optimizer.type", Text),
        new("optimizer.params.*", Any),
        new("optimizer.legacy_fusion", Switch) { Ignored = Always },
        new("scheduler.type", Text),
        new("scheduler.params.*", Any),

        new("fp16.enabled", Switch),
        new("fp16.auto_cast", Switch),
        new("fp16.loss_scale", Real),
        new("fp16.initial_scale_power", Whole),
        new("fp16.loss_scale_window", Whole),
        new("fp16.hysteresis", Whole),
        new("fp16.consecutive_hysteresis", Switch),
        new("fp16.min_loss_scale", Real),
        new("fp16.fused_mode", Switch) { Ignored = Always },
        new("fp16.fp16_master_weights_and_grads", Switch) { Refused = Master },
        new("bf16.enabled", Switch),
        new("bf16.immediate_grad_update", Switch) { Ignored = Always },
        new("bf16.check_grad_overflow", Switch) { Ignored = "only fp16 can skip a step" },
        new("bf16.bf16_master_weights_and_grads", Switch) { Refused = Master },
        new("bf16.bf16_optimizer_states", Switch) { Refused = Master },
        new("torch_autocast.enabled", Switch),
        new("torch_autocast.dtype", Text),
        new("torch_autocast.lower_precision_safe_modules", Any) { Ignored = "libtorch's own lists say which operators are safe" },
        new("amp.*", Any) { Refused = "Apex is not available: use bf16, fp16 or torch_autocast" },

        new(Zero + "stage", Whole),
        new(Zero + "sub_group_size", Whole),
        new(Zero + "offload_optimizer.device", Text),
        new(Zero + "offload_optimizer.nvme_path", Text),
        new(Zero + "offload_optimizer.buffer_count", Whole),
        new(Zero + "offload_optimizer.pin_memory", Switch) { Ignored = "host memory is pinned wherever a GPU copies from it" },
        new(Zero + "offload_optimizer.pipeline", Switch) { Ignored = "reading and writing always overlap with the update" },
        new(Zero + "offload_optimizer.pipeline_read", Switch) { Ignored = "reading and writing always overlap with the update" },
        new(Zero + "offload_optimizer.pipeline_write", Switch) { Ignored = "reading and writing always overlap with the update" },
        new(Zero + "offload_optimizer.fast_init", Switch) { Ignored = Always },
        new(Zero + "offload_optimizer.ratio", Real) { Neutral = 1, Ignored = "the whole optimizer is offloaded" },
        new(Zero + "offload_optimizer.super_offload", Switch) { Ignored = "it is made for one kind of machine" },
        new(Zero + "offload_optimizer.convert_grad_on_cpu", Switch) { Ignored = "gradients are cast on the device" },
        new(Zero + "offload_optimizer.cpuadam_cores_perc", Real) { Ignored = "OMP_NUM_THREADS says how many cores the optimizer uses" },
        new(Zero + "offload_param.device", Text),
        new(Zero + "offload_param.nvme_path", Text),
        new(Zero + "offload_param.buffer_count", Whole),
        new(Zero + "offload_param.buffer_size", Whole),
        new(Zero + "offload_param.max_in_cpu", Whole),
        new(Zero + "offload_param.pin_memory", Switch) { Ignored = "host memory is pinned wherever a GPU copies from it" },
        new(Zero + "cpu_offload", Switch),
        new(Zero + "cpu_offload_param", Switch),
        new(Zero + "cpu_offload_params", Switch),
        new(Zero + "cpu_offload_use_pin_memory", Switch) { Ignored = "host memory is pinned wherever a GPU copies from it" },
        new(Zero + "stage3_gather_16bit_weights_on_model_save", Switch),
        new(Zero + "stage3_gather_fp16_weights_on_model_save", Switch),
        new(Zero + "zero_hpz_partition_size", Whole),
        new(Zero + "mics_shard_size", Whole),
        new(Zero + "mics_hierarchical_params_gather", Switch) { Ignored = "the collective library knows the machines" },
        new(Zero + "leaf_module.classes", Any),
        new(Zero + "leaf_module.names", Any),
        new(Zero + "leaf_module.name_suffixes", Any),
        new(Zero + "allgather_partitions", Switch) { Ignored = Always },
        new(Zero + "reduce_scatter", Switch) { Ignored = Always },
        new(Zero + "overlap_comm", Switch) { Ignored = Always },
        new(Zero + "contiguous_gradients", Switch) { Ignored = Always },
        new(Zero + "ignore_unused_parameters", Switch) { Ignored = Always },
        new(Zero + "load_from_fp32_weights", Switch) { Ignored = Always },
        new(Zero + "allgather_bucket_size", Whole) { Ignored = ByLayers },
        new(Zero + "reduce_bucket_size", Whole) { Ignored = ByLayers },
        new(Zero + "use_multi_rank_bucket_allreduce", Switch) { Ignored = ByLayers },
        new(Zero + "stage3_prefetch_bucket_size", Whole) { Ignored = ByLayers },
        new(Zero + "prefetch_bucket_size", Whole) { Ignored = ByLayers },
        new(Zero + "stage3_max_live_parameters", Whole) { Ignored = "two layers beside the model's own parameters are whole at most" },
        new(Zero + "max_live_parameters", Whole) { Ignored = "two layers beside the model's own parameters are whole at most" },
        new(Zero + "stage3_max_reuse_distance", Whole) { Ignored = "two layers beside the model's own parameters are whole at most" },
        new(Zero + "max_reuse_distance", Whole) { Ignored = "two layers beside the model's own parameters are whole at most" },
        new(Zero + "stage3_param_persistence_threshold", Whole) { Ignored = "small parameters travel with their layer" },
        new(Zero + "param_persistence_threshold", Whole) { Ignored = "small parameters travel with their layer" },
        new(Zero + "stage3_model_persistence_threshold", Whole) { Ignored = "small parameters travel with their layer" },
        new(Zero + "model_persistence_threshold", Whole) { Ignored = "small parameters travel with their layer" },
        new(Zero + "stage3_module_granularity_threshold", Whole) { Ignored = ByLayers },
        new(Zero + "module_granularity_threshold", Whole) { Ignored = ByLayers },
        new(Zero + "stage3_use_all_reduce_for_fetch_params", Switch) { Ignored = Layout },
        new(Zero + "stage3_allgather_sequential", Switch) { Ignored = ByLayers },
        new(Zero + "stage3_partition_stream_chunk_size", Whole) { Ignored = ByLayers },
        new(Zero + "round_robin_gradients", Switch) { Ignored = Layout },
        new(Zero + "elastic_checkpoint", Switch) { Ignored = "state dicts load at any world size" },
        new(Zero + "legacy_stage1", Switch) { Ignored = Layout },
        new(Zero + "memory_efficient_linear", Switch) { Ignored = Always },
        new(Zero + "override_module_apply", Switch) { Ignored = Layout },
        new(Zero + "pipeline_loading_checkpoint", Switch) { Ignored = OneAxis },
        new(Zero + "log_trace_cache_warnings", Switch) { Ignored = "there is no such cache" },
        new(Zero + "enable_sanity_checks", Switch) { Ignored = "ACCELERATE_DEBUG_MODE checks every collective" },
        new(Zero + "save_muon_momentum_buffer_in_memory", Switch) { Ignored = "Muon is not available" },
        new(Zero + "zero_quantized_weights", Switch) { Ignored = Unquantized },
        new(Zero + "zero_quantized_nontrainable_weights", Switch) { Ignored = Unquantized },
        new(Zero + "zero_quantized_gradients", Switch) { Ignored = Unquantized },
        new(Zero + "zeropp_loco_param.*", Any) { Ignored = Unquantized },
        new(Zero + "zenflow.*", Any) { Refused = OtherMath },

        new("activation_checkpointing.partition_activations", Switch),
        new("activation_checkpointing.cpu_checkpointing", Switch),
        new("activation_checkpointing.number_checkpoints", Whole) { Ignored = "every layer is a checkpoint" },
        new("activation_checkpointing.contiguous_memory_optimization", Switch) { Ignored = "each layer keeps only its inputs" },
        new("activation_checkpointing.synchronize_checkpoint_boundary", Switch) { Ignored = "nothing has to wait there" },
        new("activation_checkpointing.profile", Switch) { Ignored = OwnLoop },
        new("aio.block_size", Whole),
        new("aio.queue_depth", Whole),
        new("aio.thread_count", Whole),
        new("aio.intra_op_parallelism", Whole),
        new("aio.single_submit", Switch) { Ignored = Aio },
        new("aio.overlap_events", Switch) { Ignored = Aio },
        new("aio.use_gds", Switch) { Ignored = "files are read through host memory" },

        new("prescale_gradients", Switch) { Ignored = Averages },
        new("gradient_predivide_factor", Real) { Neutral = 1, Ignored = Averages },
        new("sparse_gradients", Switch) { Ignored = "gradients are dense" },
        new("disable_allgather", Switch) { Ignored = Layout },
        new("zero_allow_untested_optimizer", Switch) { Ignored = "every optimizer that works element by element is allowed" },
        new("zero_force_ds_cpu_optimizer", Switch) { Ignored = "the optimizer works where its parameters are" },
        new("steps_per_print", Any) { Ignored = OwnLoop },
        new("wall_clock_breakdown", Switch) { Ignored = OwnLoop },
        new("memory_breakdown", Switch) { Ignored = OwnLoop },
        new("dump_state", Switch) { Ignored = OwnLoop },
        new("timers.*", Any) { Ignored = OwnLoop },
        new("flops_profiler.*", Any) { Ignored = OwnLoop },
        new("comms_logger.*", Any) { Ignored = OwnLoop },
        new("comms_config.*", Any) { Ignored = OwnLoop },
        new("tensorboard.*", Any) { Ignored = OwnTracker },
        new("wandb.*", Any) { Ignored = OwnTracker },
        new("comet.*", Any) { Ignored = OwnTracker },
        new("csv_monitor.*", Any) { Ignored = OwnTracker },
        new("vocabulary_size", Whole) { Ignored = "the model knows it" },
        new("dataloader_drop_last", Switch) { Ignored = "DataLoaderConfiguration says how loaders end" },
        new("checkpoint.*", Any) { Ignored = "checkpoints have a format of their own" },
        new("nebula.*", Any) { Ignored = "checkpoints have a format of their own" },
        new("datastates_ckpt.*", Any) { Ignored = "checkpoints have a format of their own" },
        new("elasticity.*", Any) { Ignored = "accelerate launch --nnodes MIN:MAX makes a job elastic" },
        new("autotuning.*", Any) { Ignored = "accelerate estimate-memory plans a run" },
        new("compile.*", Any) { Ignored = "there is no compiler in libtorch" },
        new("graph_harvesting", Switch) { Ignored = "there are no CUDA graphs of a step" },
        new("hybrid_engine.*", Any) { Ignored = "a prepared model generates as it is" },
        new("weight_quantization.*", Any) { Ignored = "it is made for inference" },
        new("use_data_before_expert_parallelism", Switch) { Ignored = OneAxis },
        new("seq_parallel_comm_data_type", Text) { Ignored = OneAxis },
        new("seq_parallel_communication_data_type", Text) { Ignored = OneAxis },
        new("sequence_parallel_size", Whole) { Refused = OneAxis, Neutral = 1 },
        new("pipeline.*", Any) { Ignored = OneAxis },
        new("tensor_parallel.autotp_size", Whole) { Refused = OneAxis, Neutral = 1 },
        new("tensor_parallel.*", Any) { Ignored = OneAxis },
        new("sparse_attention.*", Any) { Ignored = "a model chooses its own attention" },
        new("curriculum_learning.*", Any) { Refused = OtherMath },
        new("data_efficiency.*", Any) { Refused = OtherMath },
        new("compression_training.*", Any) { Refused = OtherMath },
        new("quantize_training.*", Any) { Refused = OtherMath },
        new("eigenvalue.*", Any) { Refused = OtherMath },
        new("progressive_layer_drop.*", Any) { Refused = OtherMath },
    ];

    /// <summary>Names that stand for others.</summary>
    public static string Today(string path) => path switch
    {
        "bfloat16" => "bf16",
        _ when path.StartsWith("bfloat16.", StringComparison.Ordinal) => "bf16." + path[9..],
        _ when path == Zero + "stage3_gather_fp16_weights_on_model_save" => Zero + "stage3_gather_16bit_weights_on_model_save",
        _ when path == Zero + "gather_16bit_weights_on_model_save" => Zero + "stage3_gather_16bit_weights_on_model_save",
        _ when path == "aio.intra_op_parallelism" => "aio.thread_count",
        _ when path == Zero + "cpu_offload_params" => Zero + "cpu_offload_param",
        _ => path,
    };

    public static DsKey? Find(string path) => All.FirstOrDefault(key => key.Covers(path));

    /// <summary>Names that may stand directly inside of a section ("" for the file itself).</summary>
    public static IEnumerable<string> NamesIn(string section)
    {
        var prefix = section.Length == 0 ? "" : section + ".";
        return All.Where(key => key.Path.StartsWith(prefix, StringComparison.Ordinal)).Select(key => key.Path[prefix.Length..].Split('.')[0]).Where(name => name != "*").Distinct(StringComparer.Ordinal);
    }
}
