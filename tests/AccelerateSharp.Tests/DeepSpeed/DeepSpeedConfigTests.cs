using System.Text;
using System.Text.Json.Nodes;
using AccelerateSharp.Parallel.DeepSpeed;
using AccelerateSharp.Parallel.Sharding;
using TorchSharp;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>Reading ds_config.json, "auto", and contradictions.</summary>
public sealed class DeepSpeedConfigTests
{
    private const string Zero2 = """{"zero_optimization": {"stage": 2}}""";

    [Fact]
    public void Without_a_configuration_the_defaults_are_the_references()
    {
        var plugin = Resolved.From(new DeepSpeedPlugin());
        Assert.Equal((2, 1, 1.0), (plugin.ZeroStage, plugin.GradientAccumulationSteps, plugin.GradientClipping));
        Assert.Equal((DeepSpeedOffloadDevice.None, DeepSpeedOffloadDevice.None), (plugin.OffloadOptimizerDevice, plugin.OffloadParamDevice));
        Assert.Equal((false, false), (plugin.Zero3InitFlag, plugin.Zero3Save16BitModel));
        var json = plugin.DeepSpeedConfig!;
        Assert.Equal("auto", json["train_micro_batch_size_per_gpu"]!.GetValue<string>());
        Assert.Equal(2, (int)json["zero_optimization"]!["stage"]!);
        Assert.Equal("inf", json["steps_per_print"]!.GetValue<string>());
        Assert.True(Resolved.From(new DeepSpeedPlugin { ZeroStage = 3 }).Zero3InitFlag);
    }

    [Fact]
    public void Flags_that_a_stage_has_no_use_for_are_said_and_do_nothing()
    {
        var plugin = Resolved.From(new DeepSpeedPlugin { ZeroStage = 2, Zero3InitFlag = true, OffloadOptimizerDevice = DeepSpeedOffloadDevice.Cpu, OffloadParamDevice = DeepSpeedOffloadDevice.Cpu });
        Assert.Equal((false, DeepSpeedOffloadDevice.Cpu, DeepSpeedOffloadDevice.None), (plugin.Zero3InitFlag, plugin.OffloadOptimizerDevice, plugin.OffloadParamDevice));
        Assert.Contains(plugin.Notices, notice => notice.Contains("zero3_init_flag has no effect at stage 2", StringComparison.Ordinal));
        Assert.Contains(plugin.Notices, notice => notice.Contains("offload_param_device Cpu has no effect at stage 2", StringComparison.Ordinal));
        var whole = Resolved.From(new DeepSpeedPlugin { ZeroStage = 0, OffloadOptimizerDevice = DeepSpeedOffloadDevice.Cpu });
        Assert.Contains(whole.Notices, notice => notice.Contains("offload_optimizer_device Cpu has no effect at stage 0", StringComparison.Ordinal));
    }

    [Fact]
    public void The_environment_fills_what_the_program_leaves_open()
    {
        const string Variables = "ACCELERATE_DEEPSPEED_ZERO_STAGE=3 ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4 ACCELERATE_GRADIENT_CLIPPING=0.5 "
            + "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE=cpu ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE=cpu ACCELERATE_DEEPSPEED_ZERO3_INIT=false "
            + "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL=true ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES=Experts,Router ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH=none";
        var plugin = Resolved.From(new DeepSpeedPlugin(), Variables);
        Assert.Equal((3, 4, 0.5), (plugin.ZeroStage, plugin.GradientAccumulationSteps, plugin.GradientClipping));
        Assert.Equal((DeepSpeedOffloadDevice.Cpu, DeepSpeedOffloadDevice.Cpu), (plugin.OffloadOptimizerDevice, plugin.OffloadParamDevice));
        Assert.Equal((false, true), (plugin.Zero3InitFlag, plugin.Zero3Save16BitModel));
        Assert.Equal(["Experts", "Router"], plugin.TransformerMoeClsNames!);
        Assert.Null(plugin.OffloadParamNvmePath);
        Assert.Equal(1, Resolved.From(new DeepSpeedPlugin { ZeroStage = 1, GradientAccumulationSteps = 2 }, Variables).ZeroStage);
        Assert.Contains("ACCELERATE_GRADIENT_CLIPPING=lots", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin(), "ACCELERATE_GRADIENT_CLIPPING=lots")), StringComparison.Ordinal);
        Assert.Contains("OFFLOAD_OPTIMIZER_DEVICE=tape", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin(), "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE=tape")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_a_base64_text_and_an_object_are_read_alike()
    {
        var folder = Directory.CreateTempSubdirectory("ds-config-");
        try
        {
            var file = Path.Combine(folder.FullName, "ds_config.json");
            File.WriteAllText(file, Zero2);
            Assert.Equal(2, Resolved.From(new DeepSpeedPlugin { ConfigFile = file }).ZeroStage);
            Assert.Equal(2, Resolved.From(new DeepSpeedPlugin(), "ACCELERATE_DEEPSPEED_CONFIG_FILE=" + file).ZeroStage);
            Assert.Equal(2, Resolved.From(new DeepSpeedPlugin { ConfigFile = Convert.ToBase64String(Encoding.UTF8.GetBytes(Zero2)) }).ZeroStage);
            File.WriteAllText(file, "{\"zero_optimization\":\n {\"stage\": 2,}}");
            Assert.Contains("line 2", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = file })), StringComparison.Ordinal);
            File.WriteAllText(file, "// a comment\n" + Zero2);
            Assert.Contains("not JSON", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = file })), StringComparison.Ordinal);
            File.WriteAllText(file, "[]");
            Assert.Contains("not a JSON object", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = file })), StringComparison.Ordinal);
            File.WriteAllText(file, "{\"zero_optimization\": {\"stage\": 2,\n \"stage\": 3}}");
            Assert.Contains("line 2: 'zero_optimization.stage' is there twice", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = file })), StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        Assert.Contains("no configuration file 'missing.json'", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = "missing.json" })), StringComparison.Ordinal);
        Assert.Contains("not both", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { ConfigFile = "a", Config = [] })), StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_configuration_leaves_out_is_as_the_reference_has_it()
    {
        var plugin = Resolved.From("""{"zero_optimization": {"stage": 2}}""");
        Assert.Equal(1, (int)plugin.DeepSpeedConfig!["gradient_accumulation_steps"]!);
        // Nobody asked for clipping; "auto" asks for 1.
        Assert.Equal(0, plugin.GradientClipping);
        Assert.Equal(1, Resolved.From("""{"gradient_clipping": "auto", "zero_optimization": {"stage": 2}}""").GradientClipping);
        Assert.Contains("no zero_optimization section", Resolved.Error(() => Resolved.From("{}")), StringComparison.Ordinal);
        Assert.Contains("no zero_optimization section", Resolved.Error(() => Resolved.From("""{"bf16": {"enabled": true}}""")), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_problem_is_named_at_once_with_the_nearest_key()
    {
        var error = Resolved.Error(() => Resolved.From("""
            {"zero_optimisation": {"stage": 2}, "train_batch_sise": 4, "fp16": {"enabled": "yes"}, "gradient_clipping": true,
             "zero_optimization": {"stage": 7, "stage3_max_live_params": 1}, "amp": {"enabled": true}, "optimizer": 3}
            """));
        foreach (var part in new[]
        {
            "7 problems", "'zero_optimisation'. Did you mean 'zero_optimization'?", "'train_batch_sise'. Did you mean 'train_batch_size'?", "'fp16.enabled' is \"yes\"", "'gradient_clipping' is true",
            "Did you mean 'stage3_max_live_parameters'?", "'amp.enabled': Apex", "'optimizer' must be an object",
        })
            Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.Contains("stage is 7", Resolved.Error(() => Resolved.From("""{"zero_optimization": {"stage": 7}}""")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"zero_optimization": {"stage": 3, "zero_quantized_weights": true, "overlap_comm": true, "reduce_bucket_size": 5e8}, "aio": {"block_size": 4096}, "tensorboard": {"enabled": true}, "wandb": {"enabled": false}}""",
        "overlap_comm: this is always so|reduce_bucket_size: communication|zero_quantized_weights: ZeRO++|aio.block_size: nothing is offloaded|tensorboard: trackers", "wandb")]
    [InlineData("""{"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}, "sub_group_size": 1e9}, "prescale_gradients": false, "gradient_predivide_factor": 1.0}""",
        "offload_param.device: parameters are divided, and offloaded, at stage 3 only|sub_group_size", "prescale")]
    public void What_has_no_effect_is_listed_once_with_the_reason(string config, string expected, string absent)
    {
        var notices = string.Join("\n", Resolved.From(config).Notices);
        foreach (var part in expected.Split('|')) Assert.Contains(part, notices, StringComparison.Ordinal);
        Assert.DoesNotContain(absent, notices, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"tensor_parallel": {"autotp_size": 2}}""")]
    [InlineData("""{"sequence_parallel_size": 2}""")]
    [InlineData("""{"curriculum_learning": {"enabled": true}}""")]
    [InlineData("""{"progressive_layer_drop": {"enabled": true}}""")]
    [InlineData("""{"fp16": {"enabled": true, "fp16_master_weights_and_grads": true}}""")]
    [InlineData("""{"optimizer": {"type": "OneBitAdam", "params": {"lr": 1}}}""")]
    [InlineData("""{"optimizer": {"type": "Lamb"}}""")]
    [InlineData("""{"optimizer": {"type": "AdamW", "params": {"learning_rate": 1}}}""")]
    [InlineData("""{"scheduler": {"type": "OneCycle"}}""")]
    [InlineData("""{"scheduler": {"type": "WarmupDecayLR", "params": {}}}""")]
    [InlineData("""{"communication_data_type": "int8"}""")]
    [InlineData("""{"gradient_accumulation_steps": 0}""")]
    [InlineData("""{"gradient_clipping": -1}""")]
    [InlineData("""{"bf16": {"enabled": true}, "fp16": {"enabled": true}}""")]
    [InlineData("""{"fp16": {"enabled": true, "hysteresis": 0}}""")]
    [InlineData("""{"train_batch_size": 9, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2}""")]
    [InlineData("""{"train_batch_size": 9, "gradient_accumulation_steps": 2}""")]
    public void What_cannot_be_is_refused_and_what_switches_it_off_is_not(string config)
    {
        var json = (JsonObject)JsonNode.Parse(config)!;
        json["zero_optimization"] = new JsonObject { ["stage"] = 2 };
        Assert.StartsWith("DeepSpeed: ", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { Config = json }, worldSize: 2)), StringComparison.Ordinal);
        Resolved.From("""{"zero_optimization": {"stage": 2}, "tensor_parallel": {"autotp_size": 1}, "sequence_parallel_size": 1, "curriculum_learning": {"enabled": false}, "amp": {"enabled": false}}""");
    }

    [Fact]
    public void Contradictions_with_the_program_are_listed_together()
    {
        var plugin = new DeepSpeedPlugin
        {
            Config = (JsonObject)JsonNode.Parse("""
                {"gradient_accumulation_steps": 1, "gradient_clipping": 1.0, "bf16": {"enabled": true},
                 "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "none"}, "stage3_gather_16bit_weights_on_model_save": false}}
                """)!,
            ZeroStage = 3,
            GradientClipping = 0.5,
            OffloadOptimizerDevice = DeepSpeedOffloadDevice.Cpu,
            Zero3Save16BitModel = true,
        };
        var error = Resolved.Error(() => Resolved.From(plugin, precision: MixedPrecision.FP16, accumulation: 2));
        foreach (var key in new[] { "zero_optimization.stage is 2, but DeepSpeedPlugin.ZeroStage is 3", "gradient_clipping is 1", "offload_optimizer.device is none", "stage3_gather_16bit", "gradient_accumulation_steps is 1, but gradientAccumulationSteps is 2", "computes in BF16, but mixedPrecision is FP16" })
            Assert.Contains(key, error, StringComparison.Ordinal);
        // What is equal, or "auto", is none.
        var agreed = Resolved.From(plugin with
        {
            Config = (JsonObject)JsonNode.Parse("""
                {"gradient_accumulation_steps": "auto", "gradient_clipping": 0.5, "bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"},
                 "zero_optimization": {"stage": "auto", "offload_optimizer": {"device": "cpu"}, "stage3_gather_16bit_weights_on_model_save": "auto"}}
                """)!,
        }, precision: MixedPrecision.FP16, accumulation: 2);
        Assert.Equal((3, 2, 0.5), (agreed.ZeroStage, agreed.GradientAccumulationSteps, agreed.GradientClipping));
        Assert.Equal(MixedPrecision.FP16, agreed.Settings!.Precision);
        Assert.True(agreed.Zero3Save16BitModel);
    }

    [Fact]
    public void The_launchers_configuration_must_not_repeat_a_file()
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, Zero2);
            var error = Resolved.Error(() => Resolved.From(new DeepSpeedPlugin(), $"ACCELERATE_DEEPSPEED_CONFIG_FILE={file} ACCELERATE_CONFIG_DS_FIELDS=deepspeed_config_file,zero3_init_flag,zero_stage,mixed_precision"));
            Assert.Contains("says zero_stage, mixed_precision as well", error, StringComparison.Ordinal);
            Resolved.From(new DeepSpeedPlugin(), $"ACCELERATE_DEEPSPEED_CONFIG_FILE={file} ACCELERATE_CONFIG_DS_FIELDS=deepspeed_config_file,zero3_init_flag");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    // Configuration, what the program says, what the environment says, what it computes in.
    [InlineData("""{}""", null, null, MixedPrecision.No)]
    [InlineData("""{}""", MixedPrecision.BF16, null, MixedPrecision.BF16)]
    [InlineData("""{}""", null, MixedPrecision.FP16, MixedPrecision.FP16)]
    [InlineData("""{"bf16": {"enabled": true}}""", null, null, MixedPrecision.BF16)]
    [InlineData("""{"bfloat16": {"enabled": true}}""", null, MixedPrecision.No, MixedPrecision.BF16)]
    [InlineData("""{"bf16": {"enabled": "auto"}}""", MixedPrecision.BF16, null, MixedPrecision.BF16)]
    [InlineData("""{"fp16": {"enabled": "auto"}, "bf16": {"enabled": "auto"}}""", null, MixedPrecision.BF16, MixedPrecision.BF16)]
    [InlineData("""{"fp16": {"enabled": false}}""", MixedPrecision.BF16, null, MixedPrecision.BF16)]
    [InlineData("""{"torch_autocast": {"enabled": true, "dtype": "bfloat16"}}""", null, null, MixedPrecision.BF16)]
    public void The_precision_is_read_back_from_the_configuration(string config, MixedPrecision? program, MixedPrecision? environment, MixedPrecision expected)
    {
        var json = (JsonObject)JsonNode.Parse(config)!;
        json["zero_optimization"] = new JsonObject { ["stage"] = 1 };
        var plugin = Resolved.From(new DeepSpeedPlugin { Config = json }, precision: program, environmentPrecision: environment);
        Assert.Equal(expected, plugin.Settings!.Precision);
        if (config.Contains("torch_autocast", StringComparison.Ordinal)) return;
        Assert.Equal(expected == MixedPrecision.BF16, (bool)plugin.DeepSpeedConfig!["bf16"]!["enabled"]!);
        Assert.Equal(expected == MixedPrecision.FP16, (bool)plugin.DeepSpeedConfig!["fp16"]!["enabled"]!);
    }

    [Theory]
    [InlineData("""{"bf16": {"enabled": true}}""", MixedPrecision.FP16)]
    [InlineData("""{"bf16": {"enabled": true}}""", MixedPrecision.No)]
    [InlineData("""{"fp16": {"enabled": false}}""", MixedPrecision.FP16)]
    public void Another_precision_than_the_programs_is_a_contradiction(string config, MixedPrecision program)
    {
        var json = (JsonObject)JsonNode.Parse(config)!;
        json["zero_optimization"] = new JsonObject { ["stage"] = 1 };
        Assert.Contains($"mixedPrecision is {program}", Resolved.Error(() => Resolved.From(new DeepSpeedPlugin { Config = json }, precision: program)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"train_batch_size": 16, "train_micro_batch_size_per_gpu": 2}""", 2, 4, 16)]
    [InlineData("""{"train_batch_size": 16, "gradient_accumulation_steps": 2}""", 4, 2, 16)]
    [InlineData("""{"train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 5}""", 3, 5, 30)]
    [InlineData("""{"train_batch_size": "auto", "train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": "auto"}""", 3, 1, 6)]
    public void Two_of_the_batch_sizes_give_the_third(string config, int micro, int steps, int train)
    {
        var json = (JsonObject)JsonNode.Parse(config)!;
        json["zero_optimization"] = new JsonObject { ["stage"] = 1 };
        var filled = Resolved.From(new DeepSpeedPlugin { Config = json }, worldSize: 2).DeepSpeedConfig!;
        Assert.Equal((micro, steps, train), ((int)filled["train_micro_batch_size_per_gpu"]!, (int)filled["gradient_accumulation_steps"]!, (int)filled["train_batch_size"]!));
    }

    [Theory]
    [InlineData(0, ShardingStage.None, false)]
    [InlineData(1, ShardingStage.OptimizerStates, false)]
    [InlineData(2, ShardingStage.Gradients, true)]
    [InlineData(3, ShardingStage.Parameters, true)]
    public void A_stage_in_the_engines_terms(int stage, object expected, bool reducesEveryBatch)
    {
        var options = Resolved.From("""{"bf16": {"enabled": true}, "zero_optimization": {"stage": STAGE, "zero_hpz_partition_size": 2, "offload_optimizer": {"device": "cpu"}}}"""
            .Replace("STAGE", $"{stage}", StringComparison.Ordinal)).Settings!.ToOptions();
        Assert.Equal((ShardingStage)expected, options.Stage);
        Assert.Equal((torch.ScalarType.BFloat16, true, reducesEveryBatch), (options.ParameterDtype, options.MasterWeights, options.ReduceEveryBatch));
        Assert.Equal(stage > 0, options.OffloadParameters);
        Assert.Equal(stage == 3 ? 2 : null, options.ReshardGroupSize);
        Assert.Null(options.ReduceDtype);
    }

    [Fact]
    public void Dtypes_of_communication_and_of_the_loss_scale()
    {
        Assert.Equal(torch.ScalarType.Float32, Resolved.From("""{"communication_data_type": "fp32", "zero_optimization": {"stage": 3}}""").Settings!.ReduceDtype);
        Assert.Equal(torch.ScalarType.Float32, Resolved.From("""{"data_types": {"grad_accum_dtype": "fp32"}, "zero_optimization": {"stage": 1}}""").Settings!.ReduceDtype);
        Assert.Null(Resolved.From("""{"data_types": {"grad_accum_dtype": "fp32"}, "zero_optimization": {"stage": 2}}""").Settings!.ReduceDtype);
        Assert.Equal(new LossScaleSettings(0, 16, 1000, 2, false, 1), Resolved.From("""{"fp16": {"enabled": true}, "zero_optimization": {"stage": 2}}""").Settings!.LossScale);
        var scale = Resolved.From("""{"fp16": {"enabled": true, "auto_cast": false, "loss_scale": 128, "initial_scale_power": 8, "loss_scale_window": 50, "hysteresis": 3, "consecutive_hysteresis": true, "min_loss_scale": 0.5}, "zero_optimization": {"stage": 2}}""").Settings!;
        Assert.Equal(new LossScaleSettings(128, 8, 50, 3, true, 0.5), scale.LossScale);
        Assert.False(scale.CastsInputs);
        Assert.Equal(128, scale.LossScale!.Initial);
    }

    [Theory]
    [InlineData("""{"bf16": {"enabled": true}, "zero_optimization": {"stage": 3}}""", "ZeRO stage 3: fp32 local parameters and optimizer, bf16 computation, gradients reduced in bf16.")]
    [InlineData("""{"zero_optimization": {"stage": 2}, "gradient_clipping": 0.5}""", "ZeRO stage 2: fp32 local parameters and optimizer, fp32 computation, gradients reduced in fp32, gradients clipped to a norm of 0.5.")]
    [InlineData("""{"torch_autocast": {"enabled": true}, "zero_optimization": {"stage": 1}}""", "ZeRO stage 1: fp32 local parameters and optimizer, bf16 computation under autocast, gradients reduced in fp32.")]
    public void What_is_kept_in_which_dtype_is_said(string config, string expected) => Assert.EndsWith(expected, Resolved.From(config).Notices[^1], StringComparison.Ordinal);

    /// <summary>What people have: the widespread stage-3 file with offloading.</summary>
    [Fact]
    public void A_file_as_it_is_in_the_wild_is_understood()
    {
        var plugin = Resolved.From("""
            {"fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16, "hysteresis": 2, "min_loss_scale": 1},
             "bf16": {"enabled": "auto"},
             "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
             "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto", "total_num_steps": "auto"}},
             "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": true}, "offload_param": {"device": "cpu", "pin_memory": true},
               "overlap_comm": true, "contiguous_gradients": true, "sub_group_size": 1e9, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
               "stage3_param_persistence_threshold": "auto", "stage3_max_live_parameters": 1e9, "stage3_max_reuse_distance": 1e9, "stage3_gather_16bit_weights_on_model_save": true},
             "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "steps_per_print": 2000, "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "wall_clock_breakdown": false}
            """, environmentPrecision: MixedPrecision.BF16, accumulation: 4, worldSize: 8);
        Assert.Equal((3, 4, 1.0, true), (plugin.ZeroStage, plugin.GradientAccumulationSteps, plugin.GradientClipping, plugin.Zero3Save16BitModel));
        Assert.Equal((DeepSpeedOffloadDevice.Cpu, DeepSpeedOffloadDevice.Cpu), (plugin.OffloadOptimizerDevice, plugin.OffloadParamDevice));
        Assert.Equal(MixedPrecision.BF16, plugin.Settings!.Precision);
        Assert.True(plugin.Settings.ToOptions() is { OffloadParameters: true, KeepComputeShards: false });
        Assert.Equal(2, plugin.Notices.Count);
    }

    [Theory]
    [InlineData("\"aio\": {\"block_size\": 100}", "aio.block_size is 100")]
    [InlineData("\"aio\": {\"thread_count\": 0}", "aio.thread_count is 0")]
    [InlineData("\"zero_allow_untested_optimizer\": true", "")]
    public void Settings_of_files_are_checked(string section, string problem)
    {
        DeepSpeedPlugin Resolve() => Resolved.From("{" + section + """, "zero_optimization": {"stage": 3, "sub_group_size": 1e9, "offload_optimizer": {"device": "nvme", "nvme_path": "/tmp"}, "offload_param": {"device": "nvme", "nvme_path": "/tmp", "max_in_cpu": 5, "buffer_size": 7}}}""");
        if (problem.Length > 0)
        {
            Assert.Contains(problem, Resolved.Error(Resolve), StringComparison.Ordinal);
            return;
        }

        var settings = Resolve().Settings!;
        // DeepSpeed's tile of a billion would be gigabytes in memory.
        Assert.Equal((16L << 20, 4, 8, 1 << 20), (settings.OptimizerSwap!.BufferElements, settings.OptimizerSwap.BufferCount, settings.OptimizerSwap.Parallelism, settings.OptimizerSwap.BlockSize));
        Assert.Equal((7L, 5, 5L), (settings.ParameterSwap!.BufferElements, settings.ParameterSwap.BufferCount, settings.ParameterSwap.KeptElements));
    }

    [Fact]
    public void Every_key_is_there_once_and_has_one_fate()
    {
        Assert.Equal(DsKeys.All.Count, DsKeys.All.Select(key => key.Path).Distinct(StringComparer.Ordinal).Count());
        Assert.DoesNotContain(DsKeys.All, key => key.Ignored is not null && key.Refused is not null);
    }
}
