using System.Globalization;
using static AccelerateSharp.Configuration.ConfigKeys;

namespace AccelerateSharp.Configuration;

/// <summary>Settings that make no sense together.</summary>
internal sealed class ConfigRules
{
    private static readonly string[] _fsdp1Keys =
        ["fsdp_sharding_strategy", "fsdp_backward_prefetch", "fsdp_forward_prefetch", "fsdp_use_orig_params", "fsdp_sync_module_states"];

    // What a DeepSpeed file says itself; the reference refuses to have it said twice.
    private static readonly string[] _deepSpeedFileKeys =
    [
        "gradient_accumulation_steps", "gradient_clipping", "zero_stage", "offload_optimizer_device", "offload_param_device",
        "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_save_16bit_model",
    ];

    private readonly ConfigFile _file;
    private readonly ClusterConfig _config;
    private readonly string _type;

    private ConfigRules(ConfigFile file)
    {
        _file = file;
        _config = file.Config;
        _type = _config.DistributedType;
    }

    /// <summary>Adds what it finds to the problems of the file.</summary>
    public static void Check(ConfigFile file)
    {
        var rules = new ConfigRules(file);
        rules.Processes();
        rules.Devices();
        rules.Sections();
        rules.Fsdp();
        rules.DeepSpeed();
        rules.Parallelism();
    }

    private void Processes()
    {
        var (processes, machines, rank, port) = (_config.NumProcesses, _config.NumMachines, _config.MachineRank, _config.MainProcessPort);
        Error([NumMachines], machines < 1, Text($"num_machines {machines}: there is at least one machine"));
        Error([MachineRank], rank < 0, Text($"machine_rank {rank}: machines count from 0"));
        Error([MachineRank, NumMachines], rank >= machines && machines >= 1,
            Text($"machine_rank {rank} is not below num_machines {machines}: machines count from 0"));
        Error([NumProcesses], processes is < 1 and not -1, Text($"num_processes {processes}: at least one process is needed"));
        Error([NumProcesses, NumMachines], processes > 0 && machines > 0 && processes % machines != 0,
            Text($"num_processes {processes} cannot be divided among num_machines {machines}; it is the number over all machines"));
        Error([MainProcessPort], port is < 0 or > 65535, Text($"main_process_port {port} is not a port: 0 to 65535"));
        Error([MainProcessPort, NumMachines], port == 0 && machines > 1, "main_process_port 0 (any free one) works on a single machine only; name the port");
        Error([ConfigKeys.DistributedType, NumProcesses], _type == DistributedTypes.None && processes > 1,
            Text($"distributed_type NO is for one process, num_processes is {processes}; write MULTI_GPU or MULTI_CPU, or num_processes: 1"));
        Warning([ConfigKeys.DistributedType, NumProcesses], _type == DistributedTypes.MultiGpu && processes == 1 && machines == 1,
            "distributed_type MULTI_GPU with num_processes 1 is a single process; distributed_type NO says the same");
    }

    private void Devices()
    {
        Error([UseCpu, ConfigKeys.DistributedType], _type == DistributedTypes.MultiGpu && _config.UseCpu,
            "use_cpu: true contradicts distributed_type MULTI_GPU; write MULTI_CPU, or use_cpu: false");
        Warning([UseCpu, ConfigKeys.DistributedType], _type == DistributedTypes.MultiCpu && _config.Values.Switch(UseCpu) == false,
            "use_cpu: false with distributed_type MULTI_CPU: the job runs on the CPU");
        Warning([ConfigKeys.DistributedType], ForeignTypes.Contains(_type),
            $"distributed_type {_type} is for hardware that AccelerateSharp does not run on; the GPUs of the machine are used, or its CPU");
        if (_config.GpuIds is not { } list) return;
        var ids = list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        Warning([GpuIds, UseCpu], _config.UseCpu, "gpu_ids has no effect with use_cpu: true");
        Error([GpuIds], ids.Distinct().Count() != ids.Length, $"gpu_ids '{list}' names a GPU twice");
        Error([GpuIds, ConfigKeys.DistributedType], _type == DistributedTypes.MultiGpu && _config.NumMachines == 1 && ids.Length < 2,
            $"distributed_type MULTI_GPU on one machine needs at least two GPUs, gpu_ids is '{list}'");
        Error([GpuIds, NumProcesses], !_config.UseCpu && _config.NumMachines == 1 && ids.Length >= 2 && _config.NumProcesses > ids.Length,
            Text($"num_processes {_config.NumProcesses} is more than the {ids.Length} GPUs of gpu_ids '{list}'"));
    }

    private void Sections()
    {
        Unused(ConfigKeys.Fsdp, DistributedTypes.Fsdp);
        Unused(ConfigKeys.DeepSpeed, DistributedTypes.DeepSpeed);
        Unused(ConfigKeys.Mpirun, DistributedTypes.MultiCpu);
        Unused(ConfigKeys.MegatronLm, DistributedTypes.MegatronLm);
        Warning([ConfigKeys.DistributedType], _type == DistributedTypes.MegatronLm, "distributed_type MEGATRON_LM: AccelerateSharp has no Megatron-LM; its section is kept and has no effect");
        Warning([ConfigKeys.Fp8, ConfigKeys.MixedPrecision], _config.Fp8.Count > 0 && _config.MixedPrecision != "fp8",
            $"fp8_config has no effect with mixed_precision {_config.MixedPrecision ?? "no"}; write mixed_precision: fp8");

        void Unused(string section, string type) => Warning(
            [section, ConfigKeys.DistributedType], _type != type && (_config.Values[section] as ConfigSection)?.Count > 0,
            $"{section} has no effect with distributed_type {_type}; write distributed_type: {type}");
    }

    private void Fsdp()
    {
        if (_type != DistributedTypes.Fsdp) return;
        var fsdp = _config.Fsdp;
        var version = fsdp.Whole("fsdp_version") ?? 1;
        var one = In(ConfigKeys.Fsdp, "fsdp_version");
        Error([one], version is not (1 or 2), Text($"fsdp_version {version}: there are 1 and 2"));
        Error([In(ConfigKeys.Fsdp, "fsdp_min_num_params")], fsdp.Whole("fsdp_min_num_params") < 0, "fsdp_min_num_params counts parameters: 0 or more");
        Error([In(ConfigKeys.Fsdp, "fsdp_sync_module_states"), In(ConfigKeys.Fsdp, "fsdp_cpu_ram_efficient_loading")],
            version == 1 && fsdp.Switch("fsdp_cpu_ram_efficient_loading") == true && fsdp.Switch("fsdp_sync_module_states") == false,
            "fsdp_cpu_ram_efficient_loading loads the weights on rank 0 alone, so it needs fsdp_sync_module_states: true");
        Warning([In(ConfigKeys.Fsdp, "fsdp_transformer_layer_cls_to_wrap")],
            fsdp["fsdp_transformer_layer_cls_to_wrap"] is not null && (fsdp.Text("fsdp_auto_wrap_policy") ?? "NO_WRAP") != "TRANSFORMER_BASED_WRAP",
            "fsdp_transformer_layer_cls_to_wrap has no effect without fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP");
        Error([In(ConfigKeys.Fsdp, "fsdp_state_dict_type"), one], version == 2 && fsdp.Text("fsdp_state_dict_type") == "LOCAL_STATE_DICT",
            "fsdp_version 2 has no LOCAL_STATE_DICT; write SHARDED_STATE_DICT or FULL_STATE_DICT");
        foreach (var key in _fsdp1Keys)
            Warning([In(ConfigKeys.Fsdp, key)], version == 2 && fsdp[key] is not null, $"{key} belongs to fsdp_version 1 and has no effect; `accelerate to-fsdp2` converts a file");
    }

    private void DeepSpeed()
    {
        if (_type != DistributedTypes.DeepSpeed) return;
        var section = _config.DeepSpeed;
        var stage = section.Whole("zero_stage") ?? 2;
        Error([In(ConfigKeys.DeepSpeed, "zero_stage")], stage is < 0 or > 3, Text($"zero_stage {stage}: there are 0, 1, 2 and 3"));
        if (section.Text("deepspeed_config_file") is { } other)
        {
            foreach (var key in _deepSpeedFileKeys)
                Error([In(ConfigKeys.DeepSpeed, key)], section[key] is not null, $"{key} is said by '{other}' (deepspeed_config_file) already; remove it here");
            Error([ConfigKeys.MixedPrecision, ConfigKeys.DeepSpeed], _config.MixedPrecision is not null, $"mixed_precision is said by '{other}' (deepspeed_config_file) already; remove it here");
            return;
        }
        Warning([In(ConfigKeys.DeepSpeed, "offload_param_device")], stage < 3 && Offloads("offload_param_device"),
            Text($"offload_param_device has no effect with zero_stage {stage}: parameters are sharded at stage 3"));
        Warning([In(ConfigKeys.DeepSpeed, "offload_optimizer_device")], stage < 2 && Offloads("offload_optimizer_device"),
            Text($"offload_optimizer_device has no effect with zero_stage {stage}: it needs stage 2 or 3"));
        foreach (var key in (string[])["zero3_init_flag", "zero3_save_16bit_model"])
            Warning([In(ConfigKeys.DeepSpeed, key)], stage < 3 && section.Switch(key) == true, Text($"{key} has no effect with zero_stage {stage}"));

        bool Offloads(string key) => section.Text(key) is { } device && device != "none";
    }

    private void Parallelism()
    {
        var sizes = _config.Parallelism;
        if (sizes.Count == 0) return;
        Error([ConfigKeys.Parallelism, ConfigKeys.DistributedType], _type != DistributedTypes.Fsdp,
            $"parallelism_config needs distributed_type FSDP, not {_type}");
        Error([ConfigKeys.Parallelism, ConfigKeys.Fsdp, In(ConfigKeys.Fsdp, "fsdp_version")],
            _type == DistributedTypes.Fsdp && (_config.Fsdp.Whole("fsdp_version") ?? 1) == 1, "parallelism_config needs fsdp_version: 2 in fsdp_config");
        foreach (var (key, value) in sizes)
            Error([In(ConfigKeys.Parallelism, key)], key.EndsWith("_size", StringComparison.Ordinal) && value is ConfigWhole { Value: < 1 }, $"{key} is at least 1");
    }

    private static string In(string section, string key) => $"{section}.{key}";

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private void Error(ReadOnlySpan<string> keys, bool applies, string message) => Report(isError: true, keys, applies, message);

    private void Warning(ReadOnlySpan<string> keys, bool applies, string message) => Report(isError: false, keys, applies, message);

    /// <summary>Reports at the first key that is there; not at all where the value of one was refused, which has its own message.</summary>
    private void Report(bool isError, ReadOnlySpan<string> keys, bool applies, string message)
    {
        if (!applies) return;
        var place = keys[0];
        for (var i = keys.Length - 1; i >= 0; i--)
        {
            if (_file.IsRefused(keys[i])) return;
            if (_file.Has(keys[i])) place = keys[i];
        }
        _file.Add(isError, _file.LineOf(place), message);
    }
}
