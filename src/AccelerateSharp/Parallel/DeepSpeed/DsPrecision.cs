using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>The parts of a configuration that say what is computed, reduced and scaled in which dtype.</summary>
/// <param name="config">The configuration.</param>
/// <param name="request">What the program and the environment say.</param>
/// <param name="problems">Takes what is wrong.</param>
internal sealed class DsPrecision(DsConfig config, DeepSpeedRequest request, List<string> problems)
{
    /// <summary>Fills "auto", and says what the model computes in.</summary>
    public MixedPrecision Resolve()
    {
        var wanted = request.Precision ?? request.EnvironmentPrecision;
        foreach (var (key, precision) in new[] { ("bf16", MixedPrecision.BF16), ("fp16", MixedPrecision.FP16) })
        {
            var isWanted = wanted == precision || (precision == MixedPrecision.BF16 && wanted == MixedPrecision.FP8);
            config.Fill(key + ".enabled", isWanted);
            if (!config.Has(key + ".enabled") && !config.Has("torch_autocast.enabled")) config.Set(key + ".enabled", isWanted && Other(key) is false);
            if (isWanted && precision == MixedPrecision.FP16 && !config.Has("fp16.auto_cast")) config.Set("fp16.auto_cast", true);
        }

        var configured = config.Switch("bf16.enabled") == true ? MixedPrecision.BF16 : config.Switch("fp16.enabled") == true ? MixedPrecision.FP16 : MixedPrecision.No;
        if (config.Switch("bf16.enabled") == true && config.Switch("fp16.enabled") == true) problems.Add("bf16.enabled and fp16.enabled are both true: choose one.");
        if (config.Switch("torch_autocast.enabled") == true)
        {
            if (configured != MixedPrecision.No) problems.Add("torch_autocast.enabled goes with neither bf16 nor fp16, which cast the parameters themselves: choose one.");
            configured = config.Text("torch_autocast.dtype") switch
            {
                null or "bfloat16" or "bf16" or "torch.bfloat16" => MixedPrecision.BF16,
                "float16" or "fp16" or "torch.float16" => MixedPrecision.FP16,
                var dtype => Unknown("torch_autocast.dtype", dtype, "bfloat16 or float16", MixedPrecision.No),
            };
        }

        // The launcher always exports a precision; only what the program itself, or a 16-bit environment, says can contradict.
        var said = request.Precision ?? (request.EnvironmentPrecision is MixedPrecision.No ? null : request.EnvironmentPrecision);
        var effective = said == MixedPrecision.FP8 && configured == MixedPrecision.BF16 ? MixedPrecision.FP8 : configured;
        if (said is { } chosen && chosen != effective)
            problems.Add($"the configuration computes in {effective}, but {(request.Precision is null ? "ACCELERATE_MIXED_PRECISION" : "mixedPrecision")} is {chosen}. Make them equal, leave out one, or write \"auto\" in bf16.enabled and fp16.enabled.");
        return effective;

        bool Other(string key) => config.Switch((key == "bf16" ? "fp16" : "bf16") + ".enabled") == true;
    }

    /// <summary>In which gradients are reduced; null: the compute dtype.</summary>
    public ScalarType? ReduceDtype(int stage)
    {
        var communicated = config.Text("communication_data_type") is { } text && text != "none" ? DtypeOf("communication_data_type", text) : null;
        if (communicated is null && config.Switch("fp32_allreduce") == true) communicated = ScalarType.Float32;
        var accumulated = config.Text("data_types.grad_accum_dtype") is { } kept ? DtypeOf("data_types.grad_accum_dtype", kept) : null;
        // Stages 2 and 3 add up reduced gradients, which are fp32; below, gradients add up in what they are reduced in.
        return communicated ?? (stage < 2 ? accumulated : null);
    }

    private ScalarType? DtypeOf(string key, string text) => text switch
    {
        "fp32" => ScalarType.Float32,
        "fp16" => ScalarType.Float16,
        "bf16" or "bfp16" => ScalarType.BFloat16,
        _ => Unknown<ScalarType?>(key, text, "fp32, fp16 or bf16", null),
    };

    /// <summary>The <c>fp16</c> section's loss scale.</summary>
    public LossScaleSettings LossScale()
    {
        var scale = new LossScaleSettings(
            config.Number("fp16.loss_scale") ?? 0, (int)(config.Whole("fp16.initial_scale_power") ?? 16), (int)(config.Whole("fp16.loss_scale_window") ?? 1000),
            (int)(config.Whole("fp16.hysteresis") ?? 2), config.Switch("fp16.consecutive_hysteresis") ?? false, config.Number("fp16.min_loss_scale") ?? 1);
        if (scale.Static < 0) problems.Add($"fp16.loss_scale is {scale.Static}; it is 0 (dynamic) or above.");
        if (scale.InitialPower is < 0 or > 126) problems.Add($"fp16.initial_scale_power is {scale.InitialPower}; it must be from 0 to 126.");
        if (scale.Window < 1) problems.Add($"fp16.loss_scale_window is {scale.Window}; it must be 1 or more.");
        if (scale.Hysteresis < 1) problems.Add($"fp16.hysteresis is {scale.Hysteresis}; it must be 1 or more.");
        if (!(scale.Minimum > 0)) problems.Add($"fp16.min_loss_scale is {scale.Minimum}; it must be above 0.");
        return scale;
    }

    private T Unknown<T>(string path, string value, string choices, T otherwise)
    {
        problems.Add($"{path} is '{value}'; it must be {choices}.");
        return otherwise;
    }
}
