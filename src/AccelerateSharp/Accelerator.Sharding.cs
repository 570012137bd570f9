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
        if (FsdpPlugin is not { } plugin) return null;
        var engine = new ShardingEngine(
            model, plugin.Plan(model), ProcessGroup, Device, plugin.ToOptions(AutocastDtype, _state.PartialState.LocalNumProcesses), _backwardErrors);
        foreach (var optimizer in _optimizers) ShardedOptimizerState.Divide(optimizer, [engine]);
        return engine;
    }

    /// <summary>The ranks between which a parameter is divided; null where this rank has the whole.</summary>
    private ProcessGroup? ShardGroupOf(Parameter parameter) => Engines().FirstOrDefault(engine => engine.Find(parameter) is not null)?.Mesh.Shard;

    private IEnumerable<ShardingEngine> Engines() => _models.Select(model => model.Synchronizer).OfType<ShardingEngine>();
}
