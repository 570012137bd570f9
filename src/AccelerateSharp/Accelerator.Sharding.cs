using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Parallel.Sharding.Timeline;
using TorchSharp.Modules;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <summary>How models are sharded; null where they are not. Every property has its value: from the program, the environment or the defaults.</summary>
    public FullyShardedDataParallelPlugin? FsdpPlugin => _state.FsdpPlugin;

    /// <summary>The engine of a prepared model; null where the model is not sharded.</summary>
    internal ShardingEngine? EngineOf(Module model) => Engines().FirstOrDefault(engine => engine.Model == model);

    /// <summary>Records what the units of sharded models do when, until the result is disposed; then writes it for Chrome's trace viewer (chrome://tracing, Perfetto).</summary>
    /// <remarks>
    /// <para><c>using (accelerator.RecordTimeline("trace.json")) { one step }</c> writes trace.rank0.json on rank 0, and so on.</para>
    /// <para>
    /// Gathers and reductions are shown in lanes of their own beside the units' forward and backward. On GPUs times are the device's, which nothing waits
    /// for until the end; on CPUs they are the host's, and a gather ends where it is waited for. <c>otherData</c> says how many
    /// microseconds of gathering there were, and how many of them under a unit's computation.
    /// </para>
    /// </remarks>
    /// <param name="path">The file; each rank puts its number before the extension.</param>
    /// <exception cref="InvalidOperationException">No sharded model is prepared.</exception>
    public IDisposable RecordTimeline(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var engines = Engines().ToList();
        return engines.Count > 0 ? new TimelineRecording(engines, path)
            : throw new InvalidOperationException("RecordTimeline: no sharded model is prepared, so there are no units to record. Give the accelerator an fsdpPlugin, and prepare the model first.");
    }

    /// <summary>Divides a model between the ranks, if that is asked for, and the states of the optimizers that train it.</summary>
    private ShardingEngine? CreateEngine(Module model)
    {
        var (plan, options) = FsdpPlugin is { } fsdp ? (fsdp.Plan(model), fsdp.ToOptions(AutocastDtype, _state.PartialState.LocalNumProcesses))
            : DeepSpeedPlugin is { Settings: { } settings } ? (settings.Plan(model), settings.ToOptions())
            : ((UnitPlan?)null, (ShardingOptions?)null);
        if (plan is null || options is null) return null;
        var engine = new ShardingEngine(model, plan, ProcessGroup, Device, options, _backwardErrors);
        NoteDeepSpeedModel(model);
        foreach (var optimizer in _optimizers) ShardedOptimizerState.Divide(optimizer, [engine]);
        return engine;
    }

    /// <summary>The ranks between which a parameter is divided; null where this rank has the whole.</summary>
    private ProcessGroup? ShardGroupOf(Parameter parameter) => Engines().FirstOrDefault(engine => engine.Find(parameter) is not null)?.Mesh.Shard;

    private IEnumerable<ShardingEngine> Engines() => _models.Select(model => model.Synchronizer).OfType<ShardingEngine>();
}
