using AccelerateSharp.Data;
using AccelerateSharp.Launch;
using TorchSharp;

namespace AccelerateSharp;

/// <summary>Runs the user's own training loop on one process or on many.</summary>
/// <example>
/// <code>
/// var accelerator = new Accelerator();
/// (model, optimizer, loader, scheduler) = accelerator.Prepare(model, optimizer, loader, scheduler);
/// foreach (var (inputs, targets) in loader)
/// {
///     optimizer.zero_grad();
///     var loss = lossFunction.call(model.call(inputs), targets);
///     accelerator.Backward(loss);
///     optimizer.step();
///     scheduler.step();
/// }
/// </code>
/// </example>
public sealed partial class Accelerator
{
    private readonly AcceleratorState _state;
    private readonly bool _devicePlacement;
    private readonly bool _stepSchedulerWithOptimizer;

    /// <summary>Connects this process to its job, if it is part of one, and chooses its device.</summary>
    /// <param name="devicePlacement">Whether <c>Prepare</c> moves models, optimizer states and batches to <see cref="Device"/>; true by default.</param>
    /// <param name="mixedPrecision">
    /// The precision that prepared models compute in; by default <c>ACCELERATE_MIXED_PRECISION</c>, which the launcher sets from its
    /// configuration, else that of the weights. What the program says wins.
    /// </param>
    /// <param name="gradientAccumulationSteps">
    /// Micro-batches per optimizer step; by default <c>ACCELERATE_GRADIENT_ACCUMULATION_STEPS</c>, else 1. Unlike in the reference,
    /// what the program says wins over the environment.
    /// </param>
    /// <param name="cpu">Use CPUs even where there are GPUs.</param>
    /// <param name="dataLoaderConfiguration">How prepared loaders divide their batches between processes.</param>
    /// <param name="gradientAccumulationPlugin">All settings of gradient accumulation, in place of <paramref name="gradientAccumulationSteps"/>.</param>
    /// <param name="distributedDataParallel">How gradients are grouped and averaged.</param>
    /// <param name="initProcessGroup">Time-outs of the process group.</param>
    /// <param name="stepSchedulerWithOptimizer">Whether the learning-rate scheduler is stepped once for each optimizer step; false: a scheduler's step is always one step.</param>
    /// <param name="autocast">How autocast works under mixed precision.</param>
    /// <param name="fsdpPlugin">Divides models, gradients and optimizer states between the processes; also where <c>ACCELERATE_USE_FSDP</c> is true.</param>
    /// <param name="gradScaler">How the loss is scaled under fp16.</param>
    /// <param name="deepSpeedPlugin">The same division in DeepSpeed's words and from its configuration files; also where <c>ACCELERATE_USE_DEEPSPEED</c> is true.</param>
    /// <param name="deepSpeedPlugins">Several of them by name, for several models; the first is selected (<see cref="AcceleratorState.SelectDeepSpeedPlugin"/>).</param>
    /// <param name="fp8Recipe">How linear layers compute under fp8; by default the one that <c>ACCELERATE_FP8_BACKEND</c> names, else Transformer Engine's.</param>
    /// <exception cref="NotSupportedException">The device cannot compute in <paramref name="mixedPrecision"/>.</exception>
    /// <exception cref="ArgumentException">Both kinds of accumulation settings were given, or a value is out of range.</exception>
    public Accelerator(
        bool devicePlacement = true,
        MixedPrecision? mixedPrecision = null,
        int? gradientAccumulationSteps = null,
        bool cpu = false,
        DataLoaderConfiguration? dataLoaderConfiguration = null,
        GradientAccumulationPlugin? gradientAccumulationPlugin = null,
        DistributedDataParallelKwargs? distributedDataParallel = null,
        InitProcessGroupKwargs? initProcessGroup = null,
        bool stepSchedulerWithOptimizer = true,
        AutocastKwargs? autocast = null,
        FullyShardedDataParallelPlugin? fsdpPlugin = null,
        GradScalerKwargs? gradScaler = null,
        DeepSpeedPlugin? deepSpeedPlugin = null,
        IEnumerable<KeyValuePair<string, DeepSpeedPlugin>>? deepSpeedPlugins = null,
        FP8RecipeKwargs? fp8Recipe = null)
    {
        if (deepSpeedPlugin is not null && deepSpeedPlugins is not null) throw new ArgumentException("Give either deepSpeedPlugin or deepSpeedPlugins, not both.", nameof(deepSpeedPlugins));
        if (gradientAccumulationPlugin is not null && gradientAccumulationSteps is not null)
            throw new ArgumentException("Give either gradientAccumulationSteps or gradientAccumulationPlugin, not both.", nameof(gradientAccumulationSteps));
        distributedDataParallel ??= new();
        distributedDataParallel.Validate();
        _devicePlacement = devicePlacement;
        _stepSchedulerWithOptimizer = stepSchedulerWithOptimizer;
        _autocast = autocast ?? new();
        _state = new AcceleratorState(cpu, initProcessGroup, distributedDataParallel, mixedPrecision, fsdpPlugin,
            deepSpeedPlugins?.ToList() ?? (deepSpeedPlugin is null ? [] : [KeyValuePair.Create("default", deepSpeedPlugin)]), gradientAccumulationPlugin?.NumSteps ?? gradientAccumulationSteps, fp8Recipe);
        _lossScaling = CreateLossScaling(gradScaler);
        var steps = _state.DeepSpeedPlugin?.GradientAccumulationSteps ?? gradientAccumulationPlugin?.NumSteps ?? AccumulationSteps(gradientAccumulationSteps);
        GradientState.PluginOptions = (gradientAccumulationPlugin ?? new()) with { NumSteps = steps };
        _loaderBinding = new LoaderBinding(new RankContext(_state.PartialState), GradientState, dataLoaderConfiguration ?? new(), devicePlacement);
    }

    /// <summary>Topology and settings of this process.</summary>
    public AcceleratorState State => _state;

    /// <summary>Where the run stands in its accumulation window and its loaders.</summary>
    public GradientState GradientState { get; } = GradientState.Shared;

    /// <inheritdoc cref="PartialState.DistributedType"/>
    public DistributedType DistributedType => _state.DistributedType;

    /// <inheritdoc cref="PartialState.NumProcesses"/>
    public int NumProcesses => _state.NumProcesses;

    /// <inheritdoc cref="PartialState.ProcessIndex"/>
    public int ProcessIndex => _state.ProcessIndex;

    /// <inheritdoc cref="PartialState.LocalProcessIndex"/>
    public int LocalProcessIndex => _state.LocalProcessIndex;

    /// <inheritdoc cref="PartialState.IsMainProcess"/>
    public bool IsMainProcess => _state.IsMainProcess;

    /// <inheritdoc cref="PartialState.IsLocalMainProcess"/>
    public bool IsLocalMainProcess => _state.IsLocalMainProcess;

    /// <inheritdoc cref="PartialState.IsLastProcess"/>
    public bool IsLastProcess => _state.IsLastProcess;

    /// <inheritdoc cref="PartialState.Device"/>
    public torch.Device Device => _state.Device;

    /// <inheritdoc cref="AcceleratorState.MixedPrecision"/>
    public MixedPrecision MixedPrecision => _state.MixedPrecision;

    /// <inheritdoc cref="PartialState.UseDistributed"/>
    public bool UseDistributed => _state.UseDistributed;

    /// <inheritdoc cref="PartialState.ProcessGroup"/>
    public ProcessGroup? ProcessGroup => _state.ProcessGroup;

    private static int AccumulationSteps(int? fromProgram)
    {
        var steps = fromProgram ?? new EnvironmentReader().FirstNumber(EnvironmentVariables.GradientAccumulationSteps)?.Value ?? 1;
        if (steps < 1)
            throw new ArgumentOutOfRangeException(nameof(fromProgram), steps, "gradientAccumulationSteps (or ACCELERATE_GRADIENT_ACCUMULATION_STEPS) must be 1 or more.");
        return steps;
    }
}
