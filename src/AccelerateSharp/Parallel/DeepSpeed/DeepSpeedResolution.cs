using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using AccelerateSharp.Parallel.Swap;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>Brings a plugin, a configuration, the environment and the accelerator's arguments together, or says in what they contradict.</summary>
internal sealed class DeepSpeedResolution(DeepSpeedPlugin set, DeepSpeedEnvironment environment, DeepSpeedRequest request)
{
    private const string Zero = "zero_optimization.";
    private const string OptimizerOffload = Zero + "offload_optimizer.";
    private const string ParamOffload = Zero + "offload_param.";
    private const string Gather16Bit = Zero + "stage3_gather_16bit_weights_on_model_save";
    private const string Accumulation = "gradient_accumulation_steps";
    private const string Clipping = "gradient_clipping";

    /// <summary>Elements of an optimizer's tile at most: 64 MB of each of its tensors, where DeepSpeed's default would be 4 GB.</summary>
    private const long LargestTile = 16L << 20;

    /// <summary>What may stand in the launcher's configuration only where there is no file.</summary>
    private static readonly string[] _fileOnly =
    [
        Accumulation, Clipping, "zero_stage", "offload_optimizer_device", "offload_param_device",
        "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_save_16bit_model", "mixed_precision",
    ];

    private readonly List<string> _problems = [];
    private readonly List<string> _notices = [];

    public DeepSpeedPlugin Resolve()
    {
        var (text, source) = Read();
        var config = text is null ? DsConfig.Empty() : DsConfig.Parse(text, source);
        if (text is null) Generate(config);
        else CheckFile(config);
        var precisions = new DsPrecision(config, request, _problems);
        var precision = precisions.Resolve();
        Match(config);
        var stage = (int)(config.Whole(Zero + "stage") ?? 0);
        if (stage is < 0 or > 3) _problems.Add($"{Zero}stage is {stage}; there are 0, 1, 2 and 3.");
        var steps = ResolveBatches(config);
        config.Fill(Clipping, 1.0);
        config.Fill(Gather16Bit, false);
        var clipping = config.Number(Clipping) ?? 0;
        if (!(clipping >= 0)) _problems.Add($"{Clipping} is {clipping}; it is a norm, from 0 (no clipping) on.");
        var optimizerDevice = Device(config, OptimizerOffload, "cpu_offload");
        var paramDevice = Device(config, ParamOffload, "cpu_offload_param");
        if (stage == 0) optimizerDevice = DeepSpeedOffloadDevice.None;
        if (stage < 3) paramDevice = DeepSpeedOffloadDevice.None;
        CheckSections(config);
        var settings = new DeepSpeedSettings
        {
            Stage = stage,
            Precision = precision,
            UsesAutocast = config.Switch("torch_autocast.enabled") == true,
            CastsInputs = precision != MixedPrecision.FP16 || config.Switch("fp16.auto_cast") != false,
            ReduceDtype = precisions.ReduceDtype(stage),
            LossScale = precision == MixedPrecision.FP16 ? precisions.LossScale() : null,
            ReshardGroupSize = config.Whole(Zero + "zero_hpz_partition_size") is > 1 and { } hpz ? (int)hpz : null,
            ShardGroupSize = config.Whole(Zero + "mics_shard_size") is > 0 and { } mics ? (int)mics : null,
            LeafClasses = [.. config.Texts(Zero + "leaf_module.classes").Select(name => name.Split('.')[^1]), .. set.TransformerMoeClsNames ?? environment.MoeClasses ?? []],
            LeafNames = config.Texts(Zero + "leaf_module.names"),
            LeafSuffixes = config.Texts(Zero + "leaf_module.name_suffixes"),
            CheckpointsActivations = config.Switch("activation_checkpointing.partition_activations") == true || config.Switch("activation_checkpointing.cpu_checkpointing") == true,
            Saves16Bit = config.Switch(Gather16Bit) == true,
            OptimizerDevice = optimizerDevice,
            ParamDevice = paramDevice,
            OptimizerSwap = Swap(config, OptimizerOffload, optimizerDevice),
            ParameterSwap = Swap(config, ParamOffload, paramDevice),
        };
        DsConfig.Throw(_problems, source);
        var without = config.WithoutEffect(path => NoEffect(path, settings)).ToList();
        if (without.Count > 0) _notices.Add($"DeepSpeed: in {source} these keys have no effect:{string.Concat(without.Select(line => "\n  " + line))}");
        if (text is null) NoteFlags(stage);
        _notices.Add($"DeepSpeed {settings}{(clipping > 0 ? string.Create(CultureInfo.InvariantCulture, $", gradients clipped to a norm of {clipping}") : "")}.");
        config.Set("steps_per_print", "inf");
        return set with
        {
            GradientAccumulationSteps = steps,
            GradientClipping = clipping,
            ZeroStage = stage,
            OffloadOptimizerDevice = optimizerDevice,
            OffloadParamDevice = paramDevice,
            OffloadOptimizerNvmePath = config.Text(OptimizerOffload + "nvme_path"),
            OffloadParamNvmePath = config.Text(ParamOffload + "nvme_path"),
            Zero3InitFlag = Zero3Init(stage),
            Zero3Save16BitModel = settings.Saves16Bit,
            TransformerMoeClsNames = settings.LeafClasses,
            Document = config,
            Settings = settings,
            Notices = _notices,
        };
    }

    private (string? Text, string Source) Read()
    {
        if (set.Config is not null && set.ConfigFile is not null) throw new ArgumentException("DeepSpeed: give either Config or ConfigFile, not both.");
        if (set.Config is not null) return (set.Config.ToJsonString(), "DeepSpeedPlugin.Config");
        if ((set.ConfigFile ?? environment.ConfigFile) is not { } file) return (null, "the plugin's settings");
        if (File.Exists(file)) return (File.ReadAllText(file), file);
        var bytes = new byte[file.Length];
        if (Convert.TryFromBase64String(file, bytes, out var count) && Encoding.UTF8.GetString(bytes, 0, count).TrimStart().StartsWith('{'))
            return (Encoding.UTF8.GetString(bytes, 0, count), "the base64 configuration");
        throw new ArgumentException($"DeepSpeed: there is no configuration file '{file}' (ConfigFile, deepspeed_config_file), and it is not a configuration in base64 either.");
    }

    /// <summary>The configuration that the plugin's own settings stand for.</summary>
    private static void Generate(DsConfig config)
    {
        config.Set("train_batch_size", DsConfig.Auto);
        config.Set("train_micro_batch_size_per_gpu", DsConfig.Auto);
        config.Set(Accumulation, DsConfig.Auto);
        config.Set(Zero + "stage", DsConfig.Auto);
        foreach (var section in new[] { OptimizerOffload, ParamOffload })
        {
            config.Set(section + "device", DsConfig.Auto);
            config.Set(section + "nvme_path", DsConfig.Auto);
        }

        config.Set(Gather16Bit, DsConfig.Auto);
        config.Set(Clipping, DsConfig.Auto);
    }

    private void CheckFile(DsConfig config)
    {
        if (!config.Has("zero_optimization")) _problems.Add("it has no zero_optimization section, which says what is divided: add at least {\"stage\": 2}.");
        if (set.Config is not null || set.ConfigFile is not null) return;
        var twice = environment.ConfiguredFields.Where(_fileOnly.Contains).ToList();
        if (twice.Count > 0)
            _problems.Add($"the configuration of accelerate says {string.Join(", ", twice)} as well: where there is a deepspeed_config_file, it alone says so. Remove them from one of the two (\"auto\" does not help).");
    }

    /// <summary>Fills "auto" from the plugin and the environment, and collects what differs from what the program says.</summary>
    private void Match(DsConfig config)
    {
        Take(Zero + "stage", nameof(set.ZeroStage), set.ZeroStage, environment.ZeroStage, 2);
        Take(Clipping, nameof(set.GradientClipping), set.GradientClipping, environment.GradientClipping, null);
        Take(OptimizerOffload + "device", nameof(set.OffloadOptimizerDevice), Name(set.OffloadOptimizerDevice), Name(environment.OptimizerDevice), "none");
        Take(ParamOffload + "device", nameof(set.OffloadParamDevice), Name(set.OffloadParamDevice), Name(environment.ParamDevice), "none");
        Take(OptimizerOffload + "nvme_path", nameof(set.OffloadOptimizerNvmePath), set.OffloadOptimizerNvmePath, environment.OptimizerNvmePath, null);
        Take(ParamOffload + "nvme_path", nameof(set.OffloadParamNvmePath), set.OffloadParamNvmePath, environment.ParamNvmePath, null);
        Take(Gather16Bit, nameof(set.Zero3Save16BitModel), set.Zero3Save16BitModel, environment.Zero3Save16Bit, null);

        void Take(string path, string property, JsonNode? program, JsonNode? fromEnvironment, JsonNode? otherwise)
        {
            if (config.IsAuto(path))
            {
                if ((program ?? fromEnvironment ?? otherwise) is { } value) config.Set(path, value.DeepClone());
                else if (path.EndsWith("nvme_path", StringComparison.Ordinal)) config.Set(path, null);
                return;
            }

            if (program is null) return;
            if (!config.Has(path)) config.Set(path, program);
            else if (!Same(program, config, path)) Mismatch(path, config, $"DeepSpeedPlugin.{property}", program.ToString());
        }

        static JsonNode? Name(DeepSpeedOffloadDevice? device) => device is { } value ? value.ToString().ToLowerInvariant() : null;

        static bool Same(JsonNode program, DsConfig config, string path) =>
            program is JsonValue value && value.TryGetValue<string>(out var text) ? config.Text(path) == text
            : config.Number(path) is { } number ? double.Parse(program.ToString(), CultureInfo.InvariantCulture) == number
            : config.Switch(path) is { } flag && program.ToString() == (flag ? "true" : "false");
    }

    private void Mismatch(string path, DsConfig config, string name, string value) =>
        _problems.Add($"{path} is {config.Text(path) ?? config.Number(path)?.ToString(CultureInfo.InvariantCulture) ?? (config.Switch(path) == true ? "true" : "false")}, but {name} is {value}. Make them equal, leave out one, or write \"auto\".");

    /// <summary>Accumulation and batch sizes: train_batch_size = micro-batch × accumulation × processes.</summary>
    private int ResolveBatches(DsConfig config)
    {
        const string Train = "train_batch_size";
        const string Micro = "train_micro_batch_size_per_gpu";
        var (train, micro) = (config.Whole(Train), config.Whole(Micro));
        var said = set.GradientAccumulationSteps ?? request.AccumulationSteps;
        if (!config.Has(Accumulation))
        {
            var rest = train is > 0 && micro is > 0 && train % (micro * request.WorldSize) == 0 ? train / (micro * request.WorldSize) : null;
            config.Set(Accumulation, rest ?? 1);
        }

        config.Fill(Accumulation, said ?? environment.AccumulationSteps ?? 1);
        var steps = config.Whole(Accumulation) ?? 1;
        if (said is { } program && program != steps)
            Mismatch(Accumulation, config, set.GradientAccumulationSteps is null ? "gradientAccumulationSteps" : "DeepSpeedPlugin.GradientAccumulationSteps", program.ToString(CultureInfo.InvariantCulture));
        else if (said is null && environment.AccumulationSteps is { } other && other != steps)
            _notices.Add($"DeepSpeed: {Accumulation} is {steps}; ACCELERATE_GRADIENT_ACCUMULATION_STEPS={other} does not count.");
        foreach (var (key, value) in new[] { (Accumulation, (long?)steps), (Train, train), (Micro, micro) })
            if (value < 1) _problems.Add($"{key} is {value}; it must be 1 or more.");
        if (steps < 1 || train < 1 || micro < 1) return 1;
        if (train is { } whole && micro is null && !config.IsAuto(Micro))
        {
            if (whole % (steps * request.WorldSize) == 0) config.Set(Micro, whole / (steps * request.WorldSize));
            else _problems.Add($"{Train} is {whole}, which {Accumulation} {steps} × {request.WorldSize} processes do not divide.");
        }

        DsBatches.Settle(config, request.WorldSize, _problems);
        return (int)steps;
    }

    private DeepSpeedOffloadDevice Device(DsConfig config, string section, string old)
    {
        if (!config.Has(section + "device") && config.Switch(Zero + old) == true) config.Set(section + "device", "cpu");
        var text = config.Text(section + "device") ?? "none";
        if (DeepSpeedEnvironment.DeviceOf(text) is { } device) return device;
        _problems.Add($"{section}device is '{text}'; it must be none, cpu or nvme.");
        return DeepSpeedOffloadDevice.None;
    }

    /// <summary>The file of an offload section; null where it does not ask for one.</summary>
    private SwapSettings? Swap(DsConfig config, string section, DeepSpeedOffloadDevice device)
    {
        if (device != DeepSpeedOffloadDevice.Nvme) return null;
        if (config.Text(section + "nvme_path") is not { } folder)
        {
            _problems.Add($"{section}device is nvme, but {section}nvme_path does not say where: name a folder on a fast disk.");
            return null;
        }

        var isParam = section == ParamOffload;
        var elements = isParam ? AtLeast(section + "buffer_size", 1, 100_000_000) : Math.Min(AtLeast(Zero + "sub_group_size", 1, LargestTile), LargestTile);
        return new SwapSettings(
            folder, section + "nvme_path", (int)Math.Min(AtLeast("aio.block_size", 4096, 1 << 20), 1 << 30),
            (int)Math.Min(AtLeast("aio.thread_count", 1, 1) * AtLeast("aio.queue_depth", 1, 8), 64),
            (int)AtLeast(section + "buffer_count", 2, isParam ? 5 : 4), elements, isParam ? AtLeast(section + "max_in_cpu", 0, 1_000_000_000) : 0);

        long AtLeast(string path, long least, long otherwise)
        {
            var value = config.Whole(path) ?? otherwise;
            if (value < least) _problems.Add($"{path} is {value}; for nvme it must be {least} or more.");
            return Math.Max(least, value);
        }
    }

    private void CheckSections(DsConfig config)
    {
        if (config.Has("optimizer") && ConfiguredOptimizer.Problem(config) is { } optimizer) _problems.Add(optimizer);
        if (config.Has("scheduler") && WarmupSchedule.Problem(config) is { } scheduler) _problems.Add(scheduler);
    }

    private bool Zero3Init(int stage)
    {
        var said = set.Zero3InitFlag ?? environment.Zero3Init;
        if (said == true && stage != 3) _notices.Add($"DeepSpeed: zero3_init_flag has no effect at stage {stage}; only stage 3 divides parameters.");
        return stage == 3 && (said ?? true);
    }

    /// <summary>Why a key that has an effect elsewhere has none here.</summary>
    private static string? NoEffect(string path, DeepSpeedSettings settings)
    {
        var isNvme = settings.OptimizerDevice == DeepSpeedOffloadDevice.Nvme || settings.ParamDevice == DeepSpeedOffloadDevice.Nvme;
        return path switch
        {
            _ when path.StartsWith(ParamOffload, StringComparison.Ordinal) && settings.Stage < 3 => "parameters are divided, and offloaded, at stage 3 only",
            _ when path.StartsWith(OptimizerOffload, StringComparison.Ordinal) && settings.Stage == 0 => "stage 0 divides, and offloads, nothing",
            _ when path.StartsWith("aio.", StringComparison.Ordinal) && !isNvme => "nothing is offloaded to nvme",
            Zero + "sub_group_size" when settings.OptimizerDevice != DeepSpeedOffloadDevice.Nvme => "it is the tile of an optimizer on nvme",
            OptimizerOffload + "nvme_path" or OptimizerOffload + "buffer_count" when settings.OptimizerDevice != DeepSpeedOffloadDevice.Nvme => "the optimizer is not offloaded to nvme",
            ParamOffload + "nvme_path" or ParamOffload + "buffer_count" or ParamOffload + "buffer_size" or ParamOffload + "max_in_cpu" when settings.ParamDevice != DeepSpeedOffloadDevice.Nvme => "parameters are not offloaded to nvme",
            Zero + "zero_hpz_partition_size" when settings.Stage < 3 => "parameters are divided at stage 3 only",
            _ => null,
        };
    }

    private void NoteFlags(int stage)
    {
        if (stage == 0 && (set.OffloadOptimizerDevice ?? environment.OptimizerDevice) is { } optimizer and not DeepSpeedOffloadDevice.None)
            _notices.Add($"DeepSpeed: offload_optimizer_device {optimizer} has no effect at stage 0, which divides nothing.");
        if (stage < 3 && (set.OffloadParamDevice ?? environment.ParamDevice) is { } param and not DeepSpeedOffloadDevice.None)
            _notices.Add($"DeepSpeed: offload_param_device {param} has no effect at stage {stage}: parameters are divided, and offloaded, at stage 3 only.");
    }
}
