using AccelerateSharp.Launch;
using AccelerateSharp.Parallel.DeepSpeed;
using AccelerateSharp.Precision;
using TorchSharp;

namespace AccelerateSharp;

/// <summary>The topology of the job and the settings that it trains with.</summary>
public sealed class AcceleratorState
{
    private readonly OrderedDictionary<string, DeepSpeedPlugin> _deepSpeedPlugins = [];
    private string? _deepSpeedName;

    internal AcceleratorState(
        bool cpu, InitProcessGroupKwargs? processGroup, DistributedDataParallelKwargs distributedDataParallel, MixedPrecision? mixedPrecision,
        FullyShardedDataParallelPlugin? fsdp, IReadOnlyList<KeyValuePair<string, DeepSpeedPlugin>> deepSpeed, int? accumulationSteps, FP8RecipeKwargs? fp8Recipe)
    {
        var environment = new EnvironmentReader();
        MixedPrecision = PrecisionChoice.Of(mixedPrecision, environment);
        PartialState = new PartialState(cpu, processGroup);
        DistributedDataParallel = distributedDataParallel;
        if (deepSpeed.Count == 0 && fsdp is null && environment.Flag(EnvironmentVariables.UseDeepSpeed)) deepSpeed = [KeyValuePair.Create("default", new DeepSpeedPlugin())];
        if (deepSpeed.Count > 0 && (fsdp is not null || environment.Flag(EnvironmentVariables.UseFsdp)))
            throw new ArgumentException("FSDP and DeepSpeed are two names for one engine: choose one of fsdpPlugin (ACCELERATE_USE_FSDP) and deepSpeedPlugin (ACCELERATE_USE_DEEPSPEED).");
        foreach (var (name, plugin) in deepSpeed) Add(name, plugin, environment, mixedPrecision, accumulationSteps);
        PrecisionSupport.Check(MixedPrecision, Device, ProcessIndex);
        Fp8Recipe = PrecisionChoice.Recipe(MixedPrecision, fp8Recipe, environment);
        if (fsdp is null && deepSpeed.Count == 0 && environment.Flag(EnvironmentVariables.UseFsdp)) fsdp = new();
        FsdpPlugin = fsdp?.Resolve(environment);
        if (!PartialState.IsMainProcess) return;
        foreach (var notice in FsdpPlugin?.WithoutEffect() ?? []) Console.Error.WriteLine(notice);
    }

    /// <summary>The topology alone.</summary>
    public PartialState PartialState { get; }

    /// <summary>The precision that prepared models compute in. Weights, gradients and optimizer states keep theirs.</summary>
    public MixedPrecision MixedPrecision { get; private set; }

    /// <summary>How linear layers compute in float8; null under another precision. Every property has its value.</summary>
    public FP8RecipeKwargs? Fp8Recipe { get; }

    /// <summary>How gradients are grouped and averaged.</summary>
    public DistributedDataParallelKwargs DistributedDataParallel { get; }

    /// <summary>How models are sharded; null where they are not. Every property has its value.</summary>
    public FullyShardedDataParallelPlugin? FsdpPlugin { get; }

    /// <summary>How training is divided in DeepSpeed's words: the plugin that is selected; null where there is none. Every property has its value.</summary>
    public DeepSpeedPlugin? DeepSpeedPlugin => _deepSpeedName is null ? null : _deepSpeedPlugins[_deepSpeedName];

    /// <summary>How the processes share the work.</summary>
    public DistributedType DistributedType => !PartialState.UseDistributed ? PartialState.DistributedType
        : FsdpPlugin is not null ? DistributedType.Fsdp
        : DeepSpeedPlugin is not null ? DistributedType.DeepSpeed : PartialState.DistributedType;

    /// <summary>One of several DeepSpeed plugins, by the name that the accelerator was given it under.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public DeepSpeedPlugin GetDeepSpeedPlugin(string name) => _deepSpeedPlugins.TryGetValue(name, out var plugin) ? plugin : throw new ArgumentException(
        $"There is no DeepSpeed plugin '{name}'; there are {(_deepSpeedPlugins.Count == 0 ? "none" : string.Join(", ", _deepSpeedPlugins.Keys))} (deepSpeedPlugins).", nameof(name));

    /// <summary>Chooses the DeepSpeed plugin for the models that are prepared from now on.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public void SelectDeepSpeedPlugin(string name)
    {
        GetDeepSpeedPlugin(name);
        _deepSpeedName = name;
    }

    /// <inheritdoc cref="PartialState.ProcessGroup"/>
    public ProcessGroup? ProcessGroup => PartialState.ProcessGroup;

    /// <inheritdoc cref="PartialState.NumProcesses"/>
    public int NumProcesses => PartialState.NumProcesses;

    /// <inheritdoc cref="PartialState.ProcessIndex"/>
    public int ProcessIndex => PartialState.ProcessIndex;

    /// <inheritdoc cref="PartialState.LocalProcessIndex"/>
    public int LocalProcessIndex => PartialState.LocalProcessIndex;

    /// <inheritdoc cref="PartialState.IsMainProcess"/>
    public bool IsMainProcess => PartialState.IsMainProcess;

    /// <inheritdoc cref="PartialState.IsLocalMainProcess"/>
    public bool IsLocalMainProcess => PartialState.IsLocalMainProcess;

    /// <inheritdoc cref="PartialState.IsLastProcess"/>
    public bool IsLastProcess => PartialState.IsLastProcess;

    /// <inheritdoc cref="PartialState.Device"/>
    public torch.Device Device => PartialState.Device;

    /// <inheritdoc cref="PartialState.UseDistributed"/>
    public bool UseDistributed => PartialState.UseDistributed;

    /// <inheritdoc/>
    public override string ToString() => $"{PartialState}\nMixed precision: {MixedPrecision}{(DeepSpeedPlugin is { } plugin ? $"\nds_config: {plugin.DeepSpeedConfig!.ToJsonString()}" : "")}";

    /// <summary>Precision and accumulation are the accelerator's: all plugins have those of the first.</summary>
    private void Add(string name, DeepSpeedPlugin plugin, EnvironmentReader environment, MixedPrecision? mixedPrecision, int? accumulationSteps)
    {
        var first = DeepSpeedPlugin;
        var resolved = plugin.Resolve(environment, new DeepSpeedRequest(
            first is null ? mixedPrecision : MixedPrecision, first is null && mixedPrecision is null ? MixedPrecision : null, first?.GradientAccumulationSteps ?? accumulationSteps, NumProcesses));
        _deepSpeedPlugins.Add(name, resolved);
        if (IsMainProcess)
            foreach (var notice in resolved.Notices) Console.Error.WriteLine(notice);
        if (first is not null) return;
        _deepSpeedName = name;
        MixedPrecision = resolved.Settings!.Precision;
    }
}
