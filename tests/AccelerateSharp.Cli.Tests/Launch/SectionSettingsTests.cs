using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Cli.Launch.Sections;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Which variables tell the workers how to share the training, and why.</summary>
public sealed class SectionSettingsTests
{
    private readonly Dictionary<string, string> _environment = [];

    [Fact]
    public void The_FSDP_file_of_the_talk_reaches_the_workers_whole()
    {
        var settings = Resolve(TalkConfigs.Fsdp);
        Assert.Equal(
            """
            ACCELERATE_USE_FSDP=true
            FSDP_ACTIVATION_CHECKPOINTING=false
            FSDP_AUTO_WRAP_POLICY=TRANSFORMER_BASED_WRAP
            FSDP_BACKWARD_PREFETCH=BACKWARD_PRE
            FSDP_CPU_RAM_EFFICIENT_LOADING=true
            FSDP_FORWARD_PREFETCH=false
            FSDP_MIN_NUM_PARAMS=100000000
            FSDP_OFFLOAD_PARAMS=false
            FSDP_RESHARD_AFTER_FORWARD=true
            FSDP_SHARDING_STRATEGY=FULL_SHARD
            FSDP_STATE_DICT_TYPE=SHARDED_STATE_DICT
            FSDP_SYNC_MODULE_STATES=true
            FSDP_USE_ORIG_PARAMS=false
            FSDP_VERSION=1
            """,
            VariablesOf(settings));
        Assert.Contains(settings.Decisions, decision => decision == new Cli.Launch.Decisions.Decision("fsdp_sharding_strategy", "FULL_SHARD", "from job.yaml:9"));
        Assert.Contains(settings.Decisions, decision => decision == new Cli.Launch.Decisions.Decision("fsdp_version", "1", "the default"));
        Assert.Empty(settings.Notes);
    }

    /// <summary>The reference's own golden case, run there.</summary>
    [Fact]
    public void FSDP_2_exports_what_the_reference_exports()
    {
        var settings = Resolve("""
            distributed_type: FSDP
            num_processes: 2
            fsdp_config:
              fsdp_version: 2
              fsdp_reshard_after_forward: true
              fsdp_offload_params: false
              fsdp_auto_wrap_policy: SIZE_BASED_WRAP
              fsdp_min_num_params: 5
              fsdp_state_dict_type: FULL_STATE_DICT
              fsdp_ignored_modules: foo.*
            parallelism_config:
              parallelism_config_dp_shard_size: 2
            """);
        Assert.Equal(
            """
            ACCELERATE_USE_FSDP=true
            ACCELERATE_USE_PARALLELISM_CONFIG=true
            FSDP_ACTIVATION_CHECKPOINTING=false
            FSDP_AUTO_WRAP_POLICY=SIZE_BASED_WRAP
            FSDP_CPU_RAM_EFFICIENT_LOADING=true
            FSDP_FORWARD_PREFETCH=false
            FSDP_IGNORED_MODULES=foo.*
            FSDP_MIN_NUM_PARAMS=5
            FSDP_OFFLOAD_PARAMS=false
            FSDP_RESHARD_AFTER_FORWARD=true
            FSDP_SHARDING_STRATEGY=FULL_SHARD
            FSDP_STATE_DICT_TYPE=FULL_STATE_DICT
            FSDP_SYNC_MODULE_STATES=true
            FSDP_USE_ORIG_PARAMS=true
            FSDP_VERSION=2
            PARALLELISM_CONFIG_DP_SHARD_SIZE=2
            """,
            VariablesOf(settings));
        settings.CheckProcesses(2);
        Assert.Contains("all 4 processes", Assert.Throws<UserErrorException>(() => settings.CheckProcesses(4)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_option_comes_before_the_file_the_file_before_the_environment_and_that_before_the_default()
    {
        foreach (var name in (string[])["FSDP_SHARDING_STRATEGY", "FSDP_BACKWARD_PREFETCH", "FSDP_MIN_NUM_PARAMS"]) _environment[name] = "7";
        _environment["FSDP_TRANSFORMER_CLS_TO_WRAP"] = "Layer";
        var settings = Resolve(
            TalkConfigs.Fsdp, typed: new() { ["--fsdp_sharding_strategy"] = "hybrid_shard", ["--fsdp_offload_params"] = "1" });
        Assert.Equal(
            [("fsdp_sharding_strategy", "HYBRID_SHARD", "from --fsdp_sharding_strategy"), ("fsdp_offload_params", "true", "from --fsdp_offload_params"),
             ("fsdp_backward_prefetch", "BACKWARD_PRE", "from job.yaml:5"), ("fsdp_min_num_params", "7", "from FSDP_MIN_NUM_PARAMS"),
             ("fsdp_transformer_layer_cls_to_wrap", "Layer", "from FSDP_TRANSFORMER_CLS_TO_WRAP"), ("fsdp_version", "1", "the default")],
            new[] { "fsdp_sharding_strategy", "fsdp_offload_params", "fsdp_backward_prefetch", "fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap", "fsdp_version" }
                .Select(name => settings.Decisions.Single(decision => decision.Name == name)).Select(decision => (decision.Name, decision.Value, decision.Source)));
    }

    [Fact]
    public void The_paradigm_is_that_of_an_option_else_of_the_file_else_of_the_environment()
    {
        _environment[EnvironmentVariables.UseDeepSpeed] = "yes";
        Assert.Equal(("DeepSpeed", "from ACCELERATE_USE_DEEPSPEED"), ParadigmOf(Resolve(null)));
        Assert.Equal(("FSDP", "from job.yaml:2"), ParadigmOf(Resolve(TalkConfigs.Fsdp)));
        Assert.Equal(("data parallelism", "from job.yaml:2"), ParadigmOf(Resolve(TalkConfigs.Ddp)));
        var typed = Resolve(TalkConfigs.Fsdp, new ParadigmOptions { MultiGpu = true });
        Assert.Equal(("data parallelism", "from --multi_gpu"), ParadigmOf(typed));
        // The workers must not go by what is in the launcher's own environment.
        Assert.Equal("ACCELERATE_USE_DEEPSPEED=false", VariablesOf(typed));
    }

    [Fact]
    public void DeepSpeed_s_settings_reach_the_workers_and_the_fields_of_the_file_are_named()
    {
        var settings = Resolve("""
            distributed_type: DEEPSPEED
            mixed_precision: bf16
            deepspeed_config:
              zero_stage: 3
              offload_optimizer_device: nvme
              offload_optimizer_nvme_path: /nvme
              gradient_clipping: 1.0
              zero3_init_flag: true
              deepspeed_multinode_launcher: pdsh
            """, typed: new() { ["--gradient_accumulation_steps"] = "4", ["--gradient_clipping"] = "0.5" });
        Assert.Equal(
            """
            ACCELERATE_CONFIG_DS_FIELDS=zero_stage,offload_optimizer_device,offload_optimizer_nvme_path,zero3_init_flag,deepspeed_multinode_launcher,mixed_precision
            ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE=nvme
            ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH=/nvme
            ACCELERATE_DEEPSPEED_ZERO3_INIT=true
            ACCELERATE_DEEPSPEED_ZERO_STAGE=3
            ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4
            ACCELERATE_GRADIENT_CLIPPING=0.5
            ACCELERATE_USE_DEEPSPEED=true
            """,
            VariablesOf(settings));
        Assert.StartsWith("deepspeed_multinode_launcher", Assert.Single(settings.Notes).Split('.')[^3], StringComparison.Ordinal);
    }

    [Fact]
    public void Accumulation_is_for_every_paradigm()
    {
        var settings = Resolve(null, typed: new() { ["--gradient_accumulation_steps"] = "4" });
        Assert.Equal("ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4", VariablesOf(settings));
    }

    [Fact]
    public void Fp8_settings_reach_the_workers()
    {
        var settings = Resolve(
            "distributed_type: NO\nmixed_precision: fp8\nfp8_config:\n  backend: TE\n  fp8_format: E4M3\n  amax_history_length: 32\n  override_linear_precision: [false, false, true]\n",
            typed: new() { ["--fp8_backend"] = "msamp", ["--fp8_margin"] = "2", ["--fp8_use_autocast_during_eval"] = "true" });
        Assert.Equal(
            """
            ACCELERATE_FP8_AMAX_HISTORY_LEN=32
            ACCELERATE_FP8_BACKEND=MSAMP
            ACCELERATE_FP8_FORMAT=E4M3
            ACCELERATE_FP8_MARGIN=2
            ACCELERATE_FP8_OVERRIDE_DGRAD=false
            ACCELERATE_FP8_OVERRIDE_FPROP=false
            ACCELERATE_FP8_OVERRIDE_WGRAD=true
            ACCELERATE_FP8_USE_AUTOCAST_DURING_EVAL=true
            """,
            VariablesOf(settings));
    }

    [Fact]
    public void What_torch_compile_would_do_is_named_as_without_effect() => Assert.Equal(
        "--dynamo_backend inductor has no effect: libtorch has no torch.compile.", Assert.Single(Resolve(null, typed: new() { ["--dynamo_backend"] = "inductor" }).Notes));

    [Fact]
    public void Where_nobody_asked_for_it_the_weights_need_not_come_from_rank_0()
    {
        var settings = Resolve(null, new ParadigmOptions { UseFsdp = true }, new() { ["--fsdp_sync_module_states"] = "false" });
        Assert.Contains("FSDP_CPU_RAM_EFFICIENT_LOADING=false", VariablesOf(settings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--fsdp_offload_params", "true", "--fsdp_offload_params needs --use_fsdp")]
    [InlineData("--zero_stage", "3", "--zero_stage needs --use_deepspeed")]
    [InlineData("--fp8_backend", "te", "--fp8_backend needs --mixed_precision fp8 (it is no, the default)")]
    [InlineData("--parallelism_config_tp_size", "2", "--parallelism_config_tp_size needs --use_parallelism_config")]
    [InlineData("--gradient_accumulation_steps", "0", "a step has at least one micro-batch")]
    [InlineData("--gradient_accumulation_steps", "two", "expected a whole number")]
    public void What_has_nothing_to_act_on_is_refused(string option, string value, string expected) =>
        Assert.Contains(expected, Refusal(null, new(), (option, value)), StringComparison.Ordinal);

    [Theory]
    [InlineData("--fsdp_version", "3", "--fsdp_version 3: there are 1 and 2")]
    [InlineData("--fsdp_sharding_strategy", "FULL_SHAD", "Did you mean 'FULL_SHARD'?")]
    [InlineData("--fsdp_offload_params", "maybe", "expected true or false")]
    [InlineData("--fsdp_sync_module_states", "false", "needs --fsdp_sync_module_states true")]
    [InlineData("--parallelism_config_dp_shard_size", "2", "needs --use_parallelism_config")]
    public void Wrong_settings_of_FSDP_are_refused(string option, string value, string expected) =>
        Assert.Contains(expected, Refusal(TalkConfigs.Fsdp, new(), (option, value)), StringComparison.Ordinal);

    [Theory]
    [InlineData("1", "", "", "needs --use_fsdp with --fsdp_version 2; there is --fsdp_version 1")]
    [InlineData("2", "--parallelism_config_tp_size", "2", "--parallelism_config_tp_size 2 is not there in AccelerateSharp")]
    [InlineData("2", "--parallelism_config_dp_replicate_size", "2", "HYBRID_SHARD of FSDP 1")]
    [InlineData("2", "--parallelism_config_cp_size", "0", "a size is at least 1")]
    public void Parallelism_that_is_not_there_is_refused(string version, string option, string value, string expected) => Assert.Contains(
        expected, Refusal(null, new ParadigmOptions { UseFsdp = true, UseParallelism = true }, ("--fsdp_version", version), (option, value)), StringComparison.Ordinal);

    [Fact]
    public void Two_paradigms_exclude_each_other()
    {
        Assert.StartsWith("--use_fsdp and --use_deepspeed exclude each other", Refusal(null, new ParadigmOptions { UseFsdp = true, UseDeepSpeed = true }), StringComparison.Ordinal);
        (_environment[EnvironmentVariables.UseFsdp], _environment[EnvironmentVariables.UseDeepSpeed]) = ("1", "1");
        Assert.StartsWith("ACCELERATE_USE_FSDP=True and ACCELERATE_USE_DEEPSPEED=True exclude each other", Refusal(null, new()), StringComparison.Ordinal);
    }

    private string Refusal(string? file, ParadigmOptions paradigm, params (string Option, string Value)[] typed) => Assert.Throws<UserErrorException>(() =>
        Resolve(file, paradigm, typed.Where(pair => pair.Option.Length > 0).ToDictionary(pair => pair.Option, pair => pair.Value))).Message;

    private SectionSettings Resolve(string? file, ParadigmOptions? paradigm = null, Dictionary<string, string>? typed = null) => LaunchSettings.Resolve(
        new LaunchOptions { Target = "a", Config = file is null ? null : ConfigFile.Parse("job.yaml", file), Paradigm = (paradigm ?? new()) with { Sections = typed ?? [] } },
        new EnvironmentReader(_environment.GetValueOrDefault)).Sections;

    private static (string Name, string Source) ParadigmOf(SectionSettings settings) => (settings.Paradigm.Value.NameOf(), settings.Paradigm.Source);

    private static string VariablesOf(SectionSettings settings) =>
        string.Join('\n', settings.Variables.OrderBy(variable => variable.Key, StringComparer.Ordinal).Select(variable => $"{variable.Key}={variable.Value}"));
}
