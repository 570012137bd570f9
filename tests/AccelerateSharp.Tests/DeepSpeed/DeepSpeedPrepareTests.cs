using System.Text.Json.Nodes;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>DeepSpeed's plugin in an accelerator of one process: "auto", dummies, clipping, selection.</summary>
[Collection("process state")]
public sealed class DeepSpeedPrepareTests : IDisposable
{
    private const string Automatic = """
        {"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
         "optimizer": {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto", "torch_adam": true, "adam_w_mode": true}},
         "scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"}},
         "zero_optimization": {"stage": 2, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"}}
        """;

    private readonly DisposeScope _scope = NewDisposeScope();
    private Accelerator? _accelerator;

    public void Dispose()
    {
        _accelerator?.FreeMemory();
        _accelerator?.EndTraining();
        _scope.Dispose();
    }

    [Fact]
    public void Auto_is_filled_from_what_is_prepared()
    {
        var accelerator = Create(Automatic);
        var net = new Sized();
        torch.optim.Optimizer optimizer = new DummyOptim(net.parameters(), lr: 5e-5, weight_decay: 1e-4);
        optim.lr_scheduler.LRScheduler scheduler = new DummyScheduler(optimizer, totalNumSteps: 100, warmupNumSteps: 10);
        (_, optimizer, _, _, scheduler) = accelerator.Prepare(net, optimizer, Loader(16), Loader(32), scheduler);
        var config = accelerator.DeepSpeedPlugin!.DeepSpeedConfig!;
        Assert.Equal((16, 16, 1), (Whole("train_micro_batch_size_per_gpu"), Whole("train_batch_size"), Whole("gradient_accumulation_steps")));
        Assert.Equal(1.0, (double)config["gradient_clipping"]!);
        Assert.Equal((5e-5, 1e-4), ((double)config["optimizer"]!["params"]!["lr"]!, (double)config["optimizer"]!["params"]!["weight_decay"]!));
        var schedule = config["scheduler"]!["params"]!;
        Assert.Equal((0.0, 5e-5, 10), ((double)schedule["warmup_min_lr"]!, (double)schedule["warmup_max_lr"]!, (int)schedule["warmup_num_steps"]!));
        // The hidden size is 5.
        var zero = config["zero_optimization"]!;
        Assert.Equal((25, 22, 50), ((int)zero["reduce_bucket_size"]!, (int)zero["stage3_prefetch_bucket_size"]!, (int)zero["stage3_param_persistence_threshold"]!));
        var made = Assert.IsType<FusedAdamW>(((DummyOptim)optimizer).Inner);
        Assert.Equal(0, made.ParamGroups.Single().LearningRate);
        scheduler.step();
        scheduler.step();
        Assert.Equal(5e-5 * Math.Log(2) / Math.Log(10), scheduler.get_last_lr().Single(), 12);
        Assert.Equal(scheduler.get_last_lr().Single(), made.ParamGroups.Single().LearningRate);
        Assert.Contains("ds_config", accelerator.State.ToString(), StringComparison.Ordinal);

        int Whole(string key) => (int)config[key]!;
    }

    [Fact]
    public void The_largest_batch_counts_where_that_is_asked_for_and_a_wrong_global_batch_is_an_error()
    {
        var accelerator = Create(Automatic, isTrainBatchMin: false);
        accelerator.Prepare(Loader(16), Loader(32));
        Assert.Equal(32, (int)accelerator.DeepSpeedPlugin!.DeepSpeedConfig!["train_batch_size"]!);
        _accelerator = null;
        var other = Create("""{"train_batch_size": 8, "train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 1}}""");
        Assert.Contains("train_batch_size is 8", Assert.Throws<ArgumentException>(() => other.Prepare(Loader(16))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Sections_and_objects_come_in_pairs()
    {
        var net = nn.Linear(4, 1);
        torch.optim.Optimizer real = optim.AdamW(net.parameters()), dummy = new DummyOptim(net.parameters());
        optim.lr_scheduler.LRScheduler schedule = optim.lr_scheduler.ConstantLR(real), dummySchedule = new DummyScheduler(real, 10);
        var configured = Create(Automatic);
        Expect(configured, real, "has an optimizer section, and Prepare was given a AdamW");
        ExpectSchedule(configured, schedule, "has a scheduler section, and Prepare was given a ConstantLR");
        ExpectSchedule(configured, new DummyScheduler(dummy, 10), "Prepare the DummyOptim before");
        Assert.Throws<InvalidOperationException>(() => dummy.step());
        Assert.Throws<InvalidOperationException>(() => dummySchedule.step());
        _accelerator = null;
        var plain = Create("""{"zero_optimization": {"stage": 1}}""");
        Expect(plain, dummy, "DummyOptim stands for the optimizer section");
        ExpectSchedule(plain, dummySchedule, "DummyScheduler stands for the scheduler section");
        ExpectSchedule(plain, optim.lr_scheduler.ConstantLR(new DummyOptim(net.parameters())), "a DummyOptim goes with a DummyScheduler");
        var own = plain.Prepare(new DummyScheduler(optim.AdamW(net.parameters()), lrSchedulerCallable: optimizer => optim.lr_scheduler.StepLR(optimizer, 1, 0.5)));
        own.step();
        Assert.Equal(5e-4, own.get_last_lr().Single(), 12);

        static void Expect(Accelerator accelerator, torch.optim.Optimizer optimizer, string message) =>
            Assert.Contains(message, Assert.Throws<ArgumentException>(() => accelerator.Prepare(optimizer)).Message, StringComparison.Ordinal);

        static void ExpectSchedule(Accelerator accelerator, optim.lr_scheduler.LRScheduler scheduler, string message) =>
            Assert.Contains(message, Assert.Throws<ArgumentException>(() => accelerator.Prepare(scheduler)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type": "Adam", "params": {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0.3}}""", typeof(FusedAdamW))]
    [InlineData("""{"type": "Adam", "params": {"lr": 0.1, "adam_w_mode": false}}""", typeof(FusedAdam))]
    [InlineData("""{"type": "AdamW", "params": {"lr": 0.1, "adam_w_mode": false}}""", typeof(FusedAdamW))]
    [InlineData("""{"type": "Lion", "params": {"lr": 0.1, "betas": [0.8, 0.9]}}""", typeof(Lion))]
    [InlineData("""{"type": "SGD", "params": {"lr": 0.1, "momentum": 0.9, "nesterov": true}}""", typeof(FusedSGD))]
    public void The_optimizer_section_makes_the_optimizer_with_the_programs_groups(string section, Type expected)
    {
        var accelerator = Create($$"""{"zero_optimization": {"stage": 1}, "optimizer": {{section}}}""");
        var net = nn.Linear(4, 1);
        var dummy = new DummyOptim([new DummyOptim.ParamGroup([net.weight!]), new DummyOptim.ParamGroup([net.bias!], lr: 0.7, weight_decay: 0)]);
        accelerator.Prepare(dummy);
        accelerator.Prepare(net);
        Assert.IsType(expected, dummy.Inner);
        Assert.Equal([0.1, 0.7], dummy.ParamGroups.Select(group => group.LearningRate));
        if (dummy.Inner is FusedAdamW adam && section.Contains("betas", StringComparison.Ordinal)) Assert.Equal((0.8, 0.9), adam.Betas);
        accelerator.Backward(net.call(ones(2, 4)).sum());
        dummy.step();
        Assert.Contains("lr is 0.1", Assert.Throws<ArgumentException>(() => accelerator.Prepare(new DummyOptim(net.parameters(), lr: 0.2))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_configuration_clips_and_ClipGradNorm_tells_the_norm()
    {
        var accelerator = Create("""{"zero_optimization": {"stage": 2}, "gradient_clipping": 0.5}""");
        var net = accelerator.Prepare(nn.Linear(4, 1, hasBias: false));
        Assert.True(double.IsNaN(accelerator.ClipGradNorm(net.parameters(), 0.5).item<float>()));
        accelerator.Backward(net.call(ones(1, 4)).sum());
        Assert.Equal(2, accelerator.ClipGradNorm(net.parameters(), 0.5).item<float>(), 5);
        Assert.Equal(0.5, net.weight!.grad!.norm().item<float>(), 4);
        Assert.Equal(2, accelerator.ClipGradNorm(net.parameters(), 0.5).item<float>(), 5);
        Assert.Equal(0.5, net.weight!.grad!.norm().item<float>(), 4);
    }

    [Fact]
    public void Without_clipping_in_the_configuration_the_program_clips()
    {
        var accelerator = Create("""{"zero_optimization": {"stage": 2}}""");
        var net = accelerator.Prepare(nn.Linear(4, 1, hasBias: false));
        accelerator.Backward(net.call(ones(1, 4)).sum());
        Assert.Equal(2, accelerator.ClipGradNorm(net.parameters(), 0.25).item<float>(), 5);
        Assert.Equal(0.25, net.weight!.grad!.norm().item<float>(), 4);
    }

    [Theory]
    [InlineData(2, "FTFT")]
    [InlineData(4, "FFFT")]
    public void The_configuration_says_how_many_batches_make_a_step(int steps, string expected)
    {
        var accelerator = Create($$"""{"zero_optimization": {"stage": 2}, "gradient_accumulation_steps": {{steps}}}""");
        Assert.Equal(steps, accelerator.GradientAccumulationSteps);
        var net = accelerator.Prepare(nn.Linear(4, 1));
        Assert.Equal(expected, string.Concat(Enumerable.Range(0, 4).Select(_ =>
        {
            using var window = accelerator.Accumulate(net);
            return accelerator.SyncGradients ? 'T' : 'F';
        })));
    }

    [Fact]
    public void Half_precision_weights_are_trained_in_fp32_and_saved_in_16_bits_where_that_is_asked_for()
    {
        var accelerator = Create("""{"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": true}, "bf16": {"enabled": true}}""");
        Assert.Equal(MixedPrecision.BF16, accelerator.MixedPrecision);
        var net = accelerator.Prepare(nn.Linear(4, 1, dtype: bfloat16));
        Assert.Equal(float32, net.weight!.dtype);
        Assert.Equal(float32, net.call(ones(1, 4)).dtype);
        Assert.All(accelerator.GetStateDict(net).Values, tensor => Assert.Equal(bfloat16, tensor.dtype));
    }

    [Fact]
    public void An_overflow_in_fp16_skips_the_step_and_the_schedule()
    {
        var accelerator = Create("""
            {"zero_optimization": {"stage": 2}, "fp16": {"enabled": true, "initial_scale_power": 15, "hysteresis": 1, "loss_scale_window": 100},
             "optimizer": {"type": "SGD", "params": {"lr": 0.1}}, "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": 0.1, "warmup_num_steps": 2}}}
            """);
        Assert.Equal(32768, accelerator.Scaler!.Scale);
        var net = nn.Linear(4, 1);
        var optimizer = new DummyOptim(net.parameters());
        var scheduler = new DummyScheduler(optimizer);
        (net, optimizer, scheduler) = accelerator.Prepare(net, optimizer, scheduler);
        scheduler.step(3);
        var before = accelerator.GetStateDict(net)["weight"];
        Step(1e6f);
        Assert.True(accelerator.OptimizerStepWasSkipped);
        Assert.Equal(16384, accelerator.Scaler.Scale);
        Assert.True(accelerator.GetStateDict(net)["weight"].allclose(before, 0, 0));
        Assert.Equal(4, scheduler.StepCount);
        Step(1e-3f);
        Assert.False(accelerator.OptimizerStepWasSkipped);
        Assert.False(accelerator.GetStateDict(net)["weight"].allclose(before, 0, 0));
        Assert.Equal(5, scheduler.StepCount);

        void Step(float factor)
        {
            accelerator.Backward((net.call(ones(2, 4)) * factor).sum());
            optimizer.step();
            scheduler.step();
            optimizer.zero_grad();
        }
    }

    [Fact]
    public void The_launchers_variables_make_a_plugin()
    {
        string[] names = ["ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_ZERO_STAGE", "ACCELERATE_MIXED_PRECISION", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"];
        try
        {
            foreach (var (name, value) in names.Zip(["true", "3", "bf16", "2"])) Environment.SetEnvironmentVariable(name, value);
            _accelerator = new Accelerator(cpu: true);
        }
        finally
        {
            foreach (var name in names) Environment.SetEnvironmentVariable(name, null);
        }

        Assert.Equal((3, 2), (_accelerator.DeepSpeedPlugin!.ZeroStage, _accelerator.GradientAccumulationSteps));
        Assert.Equal(MixedPrecision.BF16, _accelerator.MixedPrecision);
    }

    [Fact]
    public void Files_ask_for_an_optimizer_that_steps_piece_by_piece()
    {
        var accelerator = Create("""{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "nvme", "nvme_path": "FOLDER"}}}""".Replace("FOLDER", Path.GetTempPath(), StringComparison.Ordinal));
        var net = accelerator.Prepare(nn.Linear(4, 1));
        Assert.Contains("Adafactor cannot", Assert.Throws<NotSupportedException>(() => accelerator.Prepare(new Adafactor(net.parameters()))).Message, StringComparison.Ordinal);
        var error = Assert.Throws<ArgumentException>(() => Create("""{"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}""")).Message;
        Assert.Contains("offload_param.nvme_path does not say where", error, StringComparison.Ordinal);
        var missing = Create("""{"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/no/such/folder"}}}""");
        Assert.Contains("offload_param.nvme_path is '/no/such/folder'", Assert.Throws<DirectoryNotFoundException>(() => missing.Prepare(nn.Linear(4, 1))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_of_several_plugins_is_selected_by_name()
    {
        DeepSpeedPlugin Plugin(int stage) => new() { ZeroStage = stage, GradientClipping = 0 };
        _accelerator = new Accelerator(cpu: true, deepSpeedPlugins: new Dictionary<string, DeepSpeedPlugin> { ["student"] = Plugin(2), ["teacher"] = Plugin(3) });
        Assert.Equal(2, _accelerator.DeepSpeedPlugin!.ZeroStage);
        var student = _accelerator.Prepare(nn.Linear(2, 2));
        _accelerator.State.SelectDeepSpeedPlugin("teacher");
        Assert.Equal(3, _accelerator.DeepSpeedPlugin!.ZeroStage);
        Assert.Same(_accelerator.State.GetDeepSpeedPlugin("teacher"), _accelerator.DeepSpeedPlugin);
        var teacher = _accelerator.Prepare(nn.Linear(2, 2));
        Assert.Equal((2, 3), ((int)_accelerator.EngineOf(student)!.Options.Stage, (int)_accelerator.EngineOf(teacher)!.Options.Stage));
        Assert.Contains("student, teacher", Assert.Throws<ArgumentException>(() => _accelerator.State.SelectDeepSpeedPlugin("nobody")).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new Accelerator(deepSpeedPlugin: Plugin(1), deepSpeedPlugins: []));
        Assert.Contains("two names for one engine", Assert.Throws<ArgumentException>(() => new Accelerator(cpu: true, deepSpeedPlugin: Plugin(1), fsdpPlugin: new())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Layers_of_named_classes_are_gathered_as_a_whole_and_a_wrong_name_is_explained()
    {
        _accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new() { ZeroStage = 3, TransformerMoeClsNames = ["Sized"] });
        var engine = _accelerator.EngineOf(_accelerator.Prepare(nn.Sequential(new Sized(), nn.Linear(5, 1))))!;
        Assert.Equal(["", "0"], engine.Units.Select(unit => unit.Name));
        _accelerator.EndTraining();
        _accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new() { ZeroStage = 3, TransformerMoeClsNames = ["Experts"] });
        Assert.Contains("DeepSpeed: the model has no module of class 'Experts'", Assert.Throws<ArgumentException>(() => _accelerator.Prepare(new Sized())).Message, StringComparison.Ordinal);
    }

    private static BatchLoader<(Tensor, Tensor)> Loader(int batchSize) => BatchLoader.FromTensors(arange(64), arange(64), batchSize);

    private Accelerator Create(string config, bool isTrainBatchMin = true) =>
        _accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new DeepSpeedPlugin { Config = (JsonObject)JsonNode.Parse(config)!, IsTrainBatchMin = isTrainBatchMin });

    /// <summary>A model that says its hidden size as Hugging Face's do.</summary>
    private sealed class Sized : Configured
    {
        private readonly Linear _layer = nn.Linear(5, 5);

        public Sized() => RegisterComponents();

        public new ModelConfig Config { get; } = new(5);

        public override Tensor forward(Tensor input) => _layer.call(input);

        internal sealed record ModelConfig(int HiddenSize);
    }

    private abstract class Configured() : nn.Module<Tensor, Tensor>(nameof(Sized))
    {
        public object Config => new();
    }
}
