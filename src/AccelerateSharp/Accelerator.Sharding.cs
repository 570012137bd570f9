using AccelerateSharp.Parallel.Sharding;
using TorchSharp.Modules;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <summary>How models are sharded; null where they are not. Every property has its value: from the program, the environment or the defaults.</summary>
    public FullyShardedDataParallelPlugin? FsdpPlugin => _state.FsdpPlugin;

    /// <summary>The engine of a prepared model; null where the model is not sharded.</summary>
    internal ShardingEngine? EngineOf(Module model) => Engines().FirstOrDefault(engine => engine.Model == model);

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
