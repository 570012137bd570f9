using AccelerateSharp.Launch;
using AccelerateSharp.Precision;
using TorchSharp;

namespace AccelerateSharp;

/// <summary>The topology of the job and the settings that it trains with.</summary>
public sealed class AcceleratorState
{
    internal AcceleratorState(bool cpu, InitProcessGroupKwargs? processGroup, DistributedDataParallelKwargs distributedDataParallel, MixedPrecision? mixedPrecision, FullyShardedDataParallelPlugin? fsdp)
    {
        MixedPrecision = PrecisionChoice.Of(mixedPrecision, new EnvironmentReader());
        PartialState = new PartialState(cpu, processGroup);
        DistributedDataParallel = distributedDataParallel;
        PrecisionSupport.Check(MixedPrecision, Device, ProcessIndex);
        var environment = new EnvironmentReader();
        if (fsdp is null && environment.Flag(EnvironmentVariables.UseFsdp)) fsdp = new();
        FsdpPlugin = fsdp?.Resolve(environment);
        if (!PartialState.IsMainProcess) return;
        foreach (var notice in FsdpPlugin?.WithoutEffect() ?? []) Console.Error.WriteLine(notice);
    }

    /// <summary>The topology alone.</summary>
    public PartialState PartialState { get; }

    /// <summary>The precision that prepared models compute in. Weights, gradients and optimizer states keep theirs.</summary>
    public MixedPrecision MixedPrecision { get; }

    /// <summary>How gradients are grouped and averaged.</summary>
    public DistributedDataParallelKwargs DistributedDataParallel { get; }

    /// <summary>How models are sharded; null where they are not. Every property has its value.</summary>
    public FullyShardedDataParallelPlugin? FsdpPlugin { get; }

    /// <summary>How the processes share the work.</summary>
    public DistributedType DistributedType => FsdpPlugin is not null && PartialState.UseDistributed ? DistributedType.Fsdp : PartialState.DistributedType;

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
    public override string ToString() => $"{PartialState}\nMixed precision: {MixedPrecision}";
}
