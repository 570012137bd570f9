using AccelerateSharp.Parallel.Sharding;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <summary>The weights and buffers of a model, whole, under the names that the model has without sharding.</summary>
    /// <remarks>
    /// A collective where the model is sharded: every rank calls it. One unit at a time is gathered. Under DeepSpeed's
    /// <c>zero3_save_16bit_model</c> weights are in the dtype that the model computes in, else in fp32.
    /// </remarks>
    /// <param name="model">A prepared model, or any other.</param>
    /// <returns>On rank 0 copies in host memory; empty on the other ranks of a sharded model. A model that is not sharded gives its own tensors, on every rank.</returns>
    public Dictionary<string, Tensor> GetStateDict(Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return EngineOf(model) is { } engine ? new ModelState(engine).Gather(SavedDtypeOf(model)) : WithMasterWeights(model, model.state_dict());
    }

    /// <summary>This rank's part of a sharded model's weights, and the buffers, as copies in host memory. No communication.</summary>
    /// <param name="model">A model that this accelerator has sharded.</param>
    /// <param name="type">Sharded (default) or local.</param>
    /// <exception cref="ArgumentException">The model is not sharded, or the type is the full one.</exception>
    public ShardedStateDict GetShardedStateDict(Module model, StateDictType type = StateDictType.ShardedStateDict)
    {
        var state = new ModelState(Sharded(model));
        return type switch
        {
            StateDictType.ShardedStateDict => state.TakeParts(),
            StateDictType.LocalStateDict => state.TakeLocal(),
            _ => throw new ArgumentException("A full state dict is taken by GetStateDict.", nameof(type)),
        };
    }

    /// <summary>Loads whole weights and buffers into a model. A collective where the model is sharded: rank 0's values count, the others may pass nothing.</summary>
    /// <param name="model">A prepared model, or any other.</param>
    /// <param name="stateDict">Tensors by name; ignored on other ranks than 0 of a sharded model.</param>
    /// <param name="strict">Whether every parameter must be there, and nothing else; true by default.</param>
    /// <exception cref="ArgumentException">A name is missing or unknown, or a shape differs; every rank throws.</exception>
    public void LoadStateDict(Module model, IReadOnlyDictionary<string, Tensor>? stateDict, bool strict = true)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (EngineOf(model) is { } engine) new ModelState(engine).Scatter(new WeightsInMemory(stateDict ?? new Dictionary<string, Tensor>()), strict);
        else model.load_state_dict(StoreMasterWeights(model, new Dictionary<string, Tensor>(stateDict ?? throw new ArgumentNullException(nameof(stateDict)))), strict);
    }

    /// <summary>Loads weights and buffers from safetensors files. A collective where the model is sharded: rank 0 alone reads, one tensor at a time, and sends them unit by unit.</summary>
    /// <remarks>So a model that was built by <see cref="BigModeling.InitEmptyWeights"/> on every rank never exists as a whole anywhere.</remarks>
    /// <param name="model">A prepared model.</param>
    /// <param name="path">A <c>.safetensors</c> file, an index, or a folder that holds them; rank 0 alone has to have it where the model is sharded.</param>
    /// <param name="strict">Whether every parameter must be there, and nothing else; true by default.</param>
    /// <exception cref="IOException">There are no such weights, or they are damaged; every rank throws.</exception>
    /// <exception cref="ArgumentException">A name is missing or unknown, or a shape differs; every rank throws.</exception>
    public void LoadCheckpoint(Module model, string path, bool strict = true)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (EngineOf(model) is { } engine)
        {
            var state = new ModelState(engine);
            using var files = state.Open(path);
            state.Scatter(new WeightsInFiles(files), strict);
            return;
        }

        var weights = SafetensorsCheckpoint.Load(path);
        model.load_state_dict(StoreMasterWeights(model, new Dictionary<string, Tensor>(weights)), strict);
        foreach (var tensor in weights.Values) tensor.Dispose();
    }

    /// <summary>Loads the parts that all ranks of a job took, perhaps of another number of ranks than this one. No communication.</summary>
    /// <param name="model">A model that this accelerator has sharded.</param>
    /// <param name="parts">One for each rank of that job; of parts that do not overlap with this rank's nothing is read.</param>
    /// <exception cref="ArgumentException">A name or a part is missing, a shape differs, or local parts come from another layout.</exception>
    public void LoadStateDict(Module model, IReadOnlyList<ShardedStateDict> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        new ModelState(Sharded(model)).LoadParts(parts);
    }

    /// <summary>What an optimizer remembers of a sharded model's parameters, whole, as <c>parameter.field</c>. A collective.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="model">The sharded model that it trains.</param>
    /// <returns>On rank 0 copies in host memory; numbers as tensors without dimensions. Empty on the other ranks.</returns>
    public Dictionary<string, Tensor> GetOptimizerStateDict(Optimizer optimizer, Module model) => new ShardedOptimizer(optimizer, Sharded(model)).Gather();

    /// <summary>This rank's part of an optimizer's state, as copies in host memory. No communication.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="model">The sharded model that it trains.</param>
    public ShardedStateDict GetShardedOptimizerStateDict(Optimizer optimizer, Module model) => new ShardedOptimizer(optimizer, Sharded(model)).TakeParts();

    /// <summary>Loads whole optimizer state into an optimizer of a sharded model. A collective: rank 0's values count, the others may pass nothing.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="model">The sharded model that it trains.</param>
    /// <param name="stateDict">As <see cref="GetOptimizerStateDict"/> gives it.</param>
    public void LoadOptimizerStateDict(Optimizer optimizer, Module model, IReadOnlyDictionary<string, Tensor>? stateDict) =>
        new ShardedOptimizer(optimizer, Sharded(model)).Scatter(stateDict ?? new Dictionary<string, Tensor>());

    /// <summary>Loads the parts of optimizer state that all ranks of a job took, perhaps of another number of ranks. No communication.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="model">The sharded model that it trains.</param>
    /// <param name="parts">One for each rank of that job.</param>
    public void LoadOptimizerStateDict(Optimizer optimizer, Module model, IReadOnlyList<ShardedStateDict> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        new ShardedOptimizer(optimizer, Sharded(model)).LoadParts(parts);
    }

    private ShardingEngine Sharded(Module model) => EngineOf(model) ?? throw new ArgumentException(
        $"{model?.GetName()} is not sharded by this accelerator: prepare it with an FSDP or DeepSpeed plugin first. A model that is whole gives its state_dict().", nameof(model));
}
