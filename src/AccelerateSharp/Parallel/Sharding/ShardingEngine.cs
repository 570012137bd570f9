using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Sharding.Timeline;
using AccelerateSharp.Parallel.Swap;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Trains one model whose parameters, gradients and optimizer states are divided between ranks.</summary>
/// <remarks>
/// <para>
/// Before a unit computes its whole parameters are gathered; behind it their memory is given back, although autograd still holds
/// them; before its backward they are gathered again; when its gradients are there they are reduced, and each rank keeps its part.
/// The gather of the next unit is under way meanwhile, and never more than two units besides the model's own are whole.
/// Design: Rajbhandari et al., "ZeRO", SC 2020; Zhao et al., "PyTorch FSDP", VLDB 2023.
/// </para>
/// <para>
/// Every rank issues the same collectives in the same order, because all of them follow from the order in which the model calls
/// its units and autograd calls back. What ranks do differently is refused where it can be seen.
/// </para>
/// </remarks>
internal sealed partial class ShardingEngine : IGradientSynchronizer
{
    private readonly Module _model;
    private readonly ShardingMesh _mesh;
    private readonly ShardingStreams _streams;
    private readonly ShardingOptions _options;
    private readonly BackwardErrors _errors;
    private readonly ModelBuffers? _buffers;
    private readonly GradientReduction _reduction;
    private readonly ShardPages? _pages;
    private readonly List<IDisposable> _hooks = [];
    private readonly Lock _gate = new();
    private readonly IReadOnlyDictionary<nint, ShardedParameter> _parameters;

    /// <summary>Divides the model. A collective: every rank calls it with the same model and options.</summary>
    /// <param name="model">The model; its parameters become this rank's parts.</param>
    /// <param name="plan">Which modules are units.</param>
    /// <param name="world">All ranks; null in a job of one process.</param>
    /// <param name="device">Where the model computes.</param>
    /// <param name="options">How to shard.</param>
    /// <param name="errors">Where exceptions inside of backward wait.</param>
    public ShardingEngine(Module model, UnitPlan plan, ProcessGroup? world, Device device, ShardingOptions options, BackwardErrors errors)
    {
        (_model, _options, _errors, Device) = (model, options, errors, device);
        _mesh = ShardingMesh.Create(world, options.Stage == ShardingStage.None ? 1 : options.ShardGroupSize, options.ReshardGroupSize);
        _streams = new ShardingStreams(device);
        _reduction = new GradientReduction(_mesh, _streams) { Waited = work => Timeline?.Ended(work) };
        if (options.ParameterSwap is { } swap) _pages = new ShardPages(swap, _mesh.Rank, device);
        EmptyParameters.MakeExchangeable(model, device, valuesFollow: options.SyncModuleStates && _mesh.Rank > 0);
        Units = plan.CreateUnits(_mesh, _streams, options, device);
        TakeValues();
        _parameters = Units.SelectMany(unit => unit.Parameters).ToDictionary(parameter => TensorHandles.Identity(parameter.Parameter));
        _buffers = world is null ? null : new ModelBuffers(model, world);
        PrepareBuffers(device);
        foreach (var unit in Units.Where(unit => unit.Flats.Count > 0 || unit.IsRoot)) _hooks.Add(new UnitHooks(this, unit, errors));
        if (options.CheckpointActivations) CheckpointLayers();
        NoteRegistered();
        GuardHolders(plan);
    }

    public Module Model => _model;

    /// <summary>The model itself first, then its units in the order of the modules.</summary>
    public IReadOnlyList<ShardedUnit> Units { get; }

    public ShardingMesh Mesh => _mesh;

    public ShardingOptions Options => _options;

    /// <summary>Where the model computes.</summary>
    public Device Device { get; }

    /// <summary>Where it is noted what happens when; null: nowhere.</summary>
    public UnitTimeline? Timeline { get; set; }

    /// <summary>What floating-point inputs of the model are cast to; null: they stay.</summary>
    public ScalarType? InputDtype => _options.CastInputs ? _options.ParameterDtype : null;

    /// <summary>The most bytes of whole parameters that ever were in memory at once, by the sizes of their storages.</summary>
    public long PeakGatheredBytes { get; private set; }

    /// <summary>Bytes of whole parameters in memory now.</summary>
    public long GatheredBytes => Units.Sum(unit => unit.GatheredBytes);

    /// <summary>What of the model is in a file; null where nothing is.</summary>
    public ShardPages? Pages => _pages;

    /// <summary>What is known of a parameter object of the model; null where it is not sharded.</summary>
    public ShardedParameter? Find(Tensor parameter) => _parameters.GetValueOrDefault(TensorHandles.Identity(parameter));

    /// <summary>Forgets whole parameters, whose values are about to change.</summary>
    public void Invalidate()
    {
        lock (_gate)
        {
            Settle();
            _valuesMayChange = true;
        }
    }

    public void Dispose()
    {
        foreach (var hook in _hooks) hook.Dispose();
        foreach (var unit in Units) unit.Settle();
        foreach (var unit in Units) unit.Dispose();
        _pages?.Dispose();
        _streams.Dispose();
        _mesh.Dispose();
    }

    /// <summary>Unit by unit, so that nobody ever holds more than one besides what it started with.</summary>
    private void TakeValues()
    {
        var sync = _options.SyncModuleStates ? _mesh.World : null;
        var flats = Units.SelectMany(unit => unit.Flats).ToList();
        var empty = flats.ConvertAll(flat => flat.Parameters.Select(parameter => parameter.IsEmpty).ToArray()).ToArray();
        if (sync is not null) empty = sync.BroadcastObject(empty, 0) ?? empty;
        foreach (var (flat, lacking) in flats.Zip(empty))
        {
            flat.TakeValues(sync, lacking, _options.Initialize);
            if (_pages is not null) flat.PageOut(_pages);
        }
    }

    /// <summary>Units compute again what they need in backward; in a model without units its layers do.</summary>
    private void CheckpointLayers()
    {
        if (Units.Count == 1) ActivationCheckpointing.Apply(_model);
        else foreach (var unit in Units.Where(unit => !unit.IsRoot)) UnitHooks.Checkpoint(unit.Module);
    }

    private void PrepareBuffers(Device device)
    {
        using var noGrad = no_grad();
        foreach (var buffer in _model.buffers())
        {
            var dtype = buffer.is_floating_point() ? _options.BufferDtype ?? buffer.dtype : buffer.dtype;
            using var moved = buffer.detach().to(dtype, device);
            TensorStorage.SetData(buffer, moved);
        }

        if (_options.SyncModuleStates) _buffers?.Broadcast();
    }
}
