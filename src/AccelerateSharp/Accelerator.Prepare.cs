using AccelerateSharp.Data;
using AccelerateSharp.Optimizers;
using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Precision;
using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;
using static TorchSharp.torch.optim.lr_scheduler;
using Module = TorchSharp.torch.nn.Module;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private readonly List<PreparedModel> _models = [];
    private readonly List<Optimizer> _optimizers = [];
    private readonly List<LRScheduler> _schedulers = [];
    private readonly LoaderBinding _loaderBinding;
    private HeldGradients? _held;

    /// <summary>Makes an object part of this run: a model, an optimizer, a learning-rate scheduler or a loader.</summary>
    /// <remarks>
    /// <para>Models move to <see cref="Device"/> and take rank 0's weights; their parameters stay the same objects, so an optimizer made before keeps training them.</para>
    /// <para>Loaders yield this process' share of the batches, on <see cref="Device"/>. A loader's length afterwards is the number of batches that this process sees.</para>
    /// <para>Schedulers step with the whole job: once for each process, unless batches are split.</para>
    /// <para>Preparing twice does nothing more. Any other object, null included, comes back as it is.</para>
    /// </remarks>
    /// <typeparam name="T">The type of the caller's variable, which is the type of the result.</typeparam>
    public T Prepare<T>(T value) => PrepareScheduler(PrepareObject(value));

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2) Prepare<T1, T2>(T1 first, T2 second)
    {
        var prepared = (PrepareObject(first), PrepareObject(second));
        return (PrepareScheduler(prepared.Item1), PrepareScheduler(prepared.Item2));
    }

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2, T3) Prepare<T1, T2, T3>(T1 first, T2 second, T3 third)
    {
        var prepared = (PrepareObject(first), PrepareObject(second), PrepareObject(third));
        return (PrepareScheduler(prepared.Item1), PrepareScheduler(prepared.Item2), PrepareScheduler(prepared.Item3));
    }

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2, T3, T4) Prepare<T1, T2, T3, T4>(T1 first, T2 second, T3 third, T4 fourth)
    {
        var (a, b) = (PrepareObject(first), PrepareObject(second));
        var (c, d) = (PrepareObject(third), PrepareObject(fourth));
        return (PrepareScheduler(a), PrepareScheduler(b), PrepareScheduler(c), PrepareScheduler(d));
    }

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2, T3, T4, T5) Prepare<T1, T2, T3, T4, T5>(T1 first, T2 second, T3 third, T4 fourth, T5 fifth)
    {
        var (a, b, c) = (PrepareObject(first), PrepareObject(second), PrepareObject(third));
        var (d, e) = (PrepareObject(fourth), PrepareObject(fifth));
        return (PrepareScheduler(a), PrepareScheduler(b), PrepareScheduler(c), PrepareScheduler(d), PrepareScheduler(e));
    }

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2, T3, T4, T5, T6) Prepare<T1, T2, T3, T4, T5, T6>(T1 first, T2 second, T3 third, T4 fourth, T5 fifth, T6 sixth)
    {
        var (a, b, c) = (PrepareObject(first), PrepareObject(second), PrepareObject(third));
        var (d, e, f) = (PrepareObject(fourth), PrepareObject(fifth), PrepareObject(sixth));
        return (PrepareScheduler(a), PrepareScheduler(b), PrepareScheduler(c), PrepareScheduler(d), PrepareScheduler(e), PrepareScheduler(f));
    }

    /// <inheritdoc cref="Prepare{T}(T)"/>
    public (T1, T2, T3, T4, T5, T6, T7) Prepare<T1, T2, T3, T4, T5, T6, T7>(
        T1 first, T2 second, T3 third, T4 fourth, T5 fifth, T6 sixth, T7 seventh)
    {
        var (a, b, c, d) = (PrepareObject(first), PrepareObject(second), PrepareObject(third), PrepareObject(fourth));
        var (e, f, g) = (PrepareObject(fifth), PrepareObject(sixth), PrepareObject(seventh));
        return (PrepareScheduler(a), PrepareScheduler(b), PrepareScheduler(c), PrepareScheduler(d), PrepareScheduler(e), PrepareScheduler(f), PrepareScheduler(g));
    }

    /// <summary>Prepares a model, with a choice that <c>Prepare</c> does not offer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="evaluationMode">Only move the model; its gradients are not averaged.</param>
    public T PrepareModel<T>(T model, bool evaluationMode = false)
        where T : Module
    {
        ArgumentNullException.ThrowIfNull(model);
        if (_models.Any(prepared => prepared.Model == (Module)model)) return model;
        var isSpread = IsSpread(model);
        if (isSpread && !evaluationMode)
        {
            throw new InvalidOperationException(
                $"Accelerator.Prepare: this {model.GetType().Name} is spread by a device map ({BigModeling.DeviceMapOf(model)}), which is for inference: it cannot be trained."
                + " Load it whole, or shard it over processes (FullyShardedDataParallelPlugin); PrepareModel(model, evaluationMode: true) takes it as it is.");
        }

        IGradientSynchronizer? synchronizer = evaluationMode ? null : CreateEngine(model);
        var isSharded = synchronizer is not null;
        if (!isSharded && !isSpread)
        {
            if (_devicePlacement) ModelPlacement.MoveTo(model, Device);
            if (ProcessGroup is { } group) ModelPlacement.Synchronize(model, group);
        }

        var float8 = CreateFp8Model(model, isSharded);
        if (!isSharded && !evaluationMode) synchronizer = CreateReducer(model);
        _models.Add(new PreparedModel(model, synchronizer, ForwardRegions(synchronizer, float8), float8, convertsOutputs: AutocastDtype is not null));
        foreach (var optimizer in _optimizers) PageOut(optimizer);
        ResetHeldGradients();
        return model;
    }

    private static bool IsSpread(Module model) => ModelHooks.HasOffloadedParams(model) || BigModeling.DeviceMapOf(model) is { } map && map.Values.Distinct().Count() > 1;

    /// <summary>The model without what <c>Prepare</c> put around it. AccelerateSharp prepares models in place, so it is the model itself.</summary>
    /// <remarks>Kept for programs that come from Python, and right under every strategy.</remarks>
    /// <param name="model">The model.</param>
    /// <param name="keepFp32Wrapper">
    /// False: from now on its forward computes in the precision of its weights, without autocast, and returns what it computed.
    /// </param>
    public T UnwrapModel<T>(T model, bool keepFp32Wrapper = true)
        where T : Module
    {
        if (!keepFp32Wrapper) _models.Find(prepared => prepared.Model == (Module)model)?.RestorePrecision();
        return model;
    }

    /// <summary>A prepared loader whose next epoch starts after the first <paramref name="numBatches"/> batches: to resume in the middle of an epoch.</summary>
    /// <remarks>Data that is read by index is skipped without reading it.</remarks>
    public T SkipFirstBatches<T>(T loader, int numBatches) => LoaderPreparation.SkipFirst(loader, numBatches);

    /// <summary>Releases every prepared object, so that their memory can go: hooks, gradient buffers, references.</summary>
    public void FreeMemory()
    {
        foreach (var model in _models) model.Dispose();
        _models.Clear();
        _optimizers.Clear();
        _schedulers.Clear();
        _held?.Dispose();
        _held = null;
        ForgetDeepSpeed();
        _step = 0;
    }

    private T PrepareObject<T>(T value) => value switch
    {
        Module model => (T)(object)PrepareModel(model),
        Optimizer optimizer => (T)(object)PrepareOptimizer(optimizer),
        not LRScheduler when LoaderPreparation.IsLoader(value) => PrepareLoader(value),
        _ => value,
    };

    private T PrepareLoader<T>(T loader)
    {
        NoteBatchSize(loader!);
        return LoaderPreparation.PrepareAny(loader, _loaderBinding);
    }

    /// <summary>Second, so that every optimizer of the call is known.</summary>
    private T PrepareScheduler<T>(T value)
    {
        if (value is not LRScheduler scheduler || _schedulers.Contains(scheduler)) return value;
        PairScheduler(scheduler);
        if (scheduler is DummyScheduler)
        {
            _schedulers.Add(scheduler);
            return value;
        }

        var prepared = SchedulerPreparation.Prepare(
            value, scheduler, GradientState, () => StepWasSkipped(SchedulerPreparation.OptimizerOf(scheduler)), NumProcesses, _loaderBinding.Configuration.SplitBatches, _stepSchedulerWithOptimizer);
        _schedulers.Add((LRScheduler)(object)prepared!);
        return prepared;
    }

    /// <summary>What is in force while a model's forward runs, outermost first.</summary>
    private IEnumerable<IForwardRegion> ForwardRegions(IGradientSynchronizer? synchronizer, Fp8Model? float8)
    {
        if (synchronizer is GradientReducer reducer) yield return new ReducerRegion(reducer, SynchronizesNext);
        if (synchronizer is ShardingEngine engine) yield return new ShardingRegion(engine);
        if (AutocastDtype is { } dtype && (AutocastsForward || float8 is not null || synchronizer is not ShardingEngine)) yield return new AutocastRegion(Device, dtype, _autocast);
        if (float8 is not null) yield return new Fp8Region(float8);
    }

    private GradientReducer? CreateReducer(Module model) =>
        ProcessGroup is { } group ? new GradientReducer(model, group, _state.DistributedDataParallel, _backwardErrors) : null;

    private Optimizer PrepareOptimizer(Optimizer optimizer)
    {
        if (_optimizers.Contains(optimizer)) return optimizer;
        if (_lossScaling is not null && optimizer is LBFGS)
            throw new NotSupportedException("LBFGS evaluates the loss several times in one step, which loss scaling cannot follow. Use bf16, or gradScaler: new() { Enabled = false }.");
        PairOptimizer(optimizer);
        CheckFp8Optimizer(optimizer);
        var engines = Engines().ToList();
        var trained = optimizer is DummyOptim { Inner: { } made } ? made : optimizer;
        if (engines.Count > 0)
        {
            ShardedOptimizerState.Divide(trained, engines);
            PageOut(optimizer);
        }
        else if (_devicePlacement && trained is FusedOptimizer fused) fused.MoveState(Device);
        else if (_devicePlacement && trained is OptimizerHelper managed) managed.to(Device);
        _optimizers.Add(optimizer);
        ResetHeldGradients();
        if (IsMainProcess && FusedTwin.Advise(optimizer) is { } advice) Console.Error.WriteLine(advice);
        return optimizer;
    }
}
