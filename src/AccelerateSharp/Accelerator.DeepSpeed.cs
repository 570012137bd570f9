using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.DeepSpeed;
using AccelerateSharp.Parallel.Swap;
using static TorchSharp.torch;
using static TorchSharp.torch.optim.lr_scheduler;
using Module = TorchSharp.torch.nn.Module;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private readonly List<(Module Model, DeepSpeedPlugin Plugin)> _deepSpeedModels = [];
    private readonly Dictionary<DeepSpeedPlugin, DsBatches> _deepSpeedBatches = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<DeepSpeedPlugin, Tensor> _globalNorms = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<Optimizer, OptimizerPager> _pagers = new(ReferenceEqualityComparer.Instance);
    private bool _saidOtherNorm;

    /// <summary>How training is divided in DeepSpeed's words; null where it is not. Every property has its value: from the configuration, the program, the environment or the defaults.</summary>
    public DeepSpeedPlugin? DeepSpeedPlugin => _state.DeepSpeedPlugin;

    /// <summary>Constructs a model for stage 3 (<c>zero3_init_flag</c>): only rank 0 makes weights, the other ranks get theirs from it in <c>Prepare</c>.</summary>
    /// <remarks>Without the flag, and on rank 0, the model is simply constructed. Load a checkpoint on rank 0 alone.</remarks>
    /// <param name="build">Constructs the model; the same on every rank.</param>
    public T ZeroInit<T>(Func<T> build)
        where T : Module
    {
        ArgumentNullException.ThrowIfNull(build);
        return DeepSpeedPlugin is { Zero3InitFlag: true } && !IsMainProcess ? BigModeling.InitEmptyWeights(build) : build();
    }

    /// <summary>Whether the forward of prepared models is under autocast: DeepSpeed casts the parameters instead, unless it is told otherwise.</summary>
    private bool AutocastsForward => DeepSpeedPlugin is null or { Settings.UsesAutocast: true };

    /// <summary>Clips the gradients as the configuration says, and keeps their norm for <see cref="ClipGradNorm"/>.</summary>
    private void ClipAsConfigured()
    {
        foreach (var group in _deepSpeedModels.GroupBy(item => item.Plugin, ReferenceEqualityComparer.Instance as IEqualityComparer<DeepSpeedPlugin>))
        {
            if (group.Key.GradientClipping is not > 0) continue;
            var parameters = group.SelectMany(item => item.Model.parameters());
            var norm = GradientClipping.ByNorm(parameters, group.Key.GradientClipping.Value, 2, Device, ShardGroupOf).DetachFromDisposeScope();
            if (_globalNorms.Remove(group.Key, out var old)) old.Dispose();
            _globalNorms[group.Key] = norm;
        }
    }

    /// <summary>The norm before DeepSpeed's clipping; null where the program clips itself.</summary>
    private Tensor? ConfiguredNorm(double maxNorm)
    {
        if (DeepSpeedPlugin is not { GradientClipping: > 0 and { } configured } plugin) return null;
        if (maxNorm != configured && IsMainProcess && !_saidOtherNorm)
        {
            _saidOtherNorm = true;
            Console.Error.WriteLine(string.Create(System.Globalization.CultureInfo.InvariantCulture,
                $"DeepSpeed: gradients are clipped to a norm of {configured} when Backward ends (gradient_clipping); ClipGradNorm({maxNorm}) only returns their norm. Set gradient_clipping to {maxNorm}, or to 0 to clip here."));
        }

        return _globalNorms.TryGetValue(plugin, out var norm) ? norm.clone() : tensor(float.NaN, device: Device);
    }

    /// <summary>The micro-batch size from a loader that is about to be prepared.</summary>
    private void NoteBatchSize(object loader)
    {
        if (DeepSpeedPlugin is not { Document: { } document } plugin) return;
        if (!_deepSpeedBatches.TryGetValue(plugin, out var batches)) _deepSpeedBatches[plugin] = batches = new DsBatches(document, plugin.IsTrainBatchMin, NumProcesses);
        batches.Take(DsBatches.ShareOf(loader, _loaderBinding.Configuration, NumProcesses));
    }

    /// <summary>The dtype of a whole state dict's weights; null: as they are trained.</summary>
    private ScalarType? SavedDtypeOf(Module model) =>
        _deepSpeedModels.Find(item => item.Model == model).Plugin is { Settings: { Saves16Bit: true } settings } ? settings.ComputeDtype : null;

    private void NoteDeepSpeedModel(Module model)
    {
        if (DeepSpeedPlugin is not { Document: { } document } plugin) return;
        if (DsBatches.HiddenSizeOf(model) is { } hidden) DsBatches.TakeHiddenSize(document, hidden);
        _deepSpeedModels.Add((model, plugin));
    }

    /// <summary>A dummy becomes the configuration's optimizer; a real one must not contradict it.</summary>
    private void PairOptimizer(Optimizer optimizer)
    {
        var configures = DeepSpeedPlugin?.Document?.Has("optimizer") == true;
        if (optimizer is not DummyOptim dummy)
        {
            if (configures)
                throw new ArgumentException($"DeepSpeed: the configuration has an optimizer section, and Prepare was given a {optimizer.GetType().Name}. Remove the section, or give a DummyOptim.", nameof(optimizer));
            return;
        }

        if (!configures)
            throw new ArgumentException("DeepSpeed: DummyOptim stands for the optimizer section of a configuration, and there is none. Add one (\"optimizer\": {\"type\": \"AdamW\", …}), or give a real optimizer.", nameof(optimizer));
        dummy.Become(ConfiguredOptimizer.Create(DeepSpeedPlugin!.Document!, dummy));
    }

    /// <summary>A dummy becomes the configuration's schedule; a real one must not contradict it.</summary>
    private void PairScheduler(LRScheduler scheduler)
    {
        var document = DeepSpeedPlugin?.Document;
        var configures = document?.Has("scheduler") == true;
        if (scheduler is not DummyScheduler dummy)
        {
            if (configures)
                throw new ArgumentException($"DeepSpeed: the configuration has a scheduler section, and Prepare was given a {scheduler.GetType().Name}. Remove the section, or give a DummyScheduler.", nameof(scheduler));
            if (Optimizers.SchedulerPreparation.OptimizerOf(scheduler) is DummyOptim)
                throw new ArgumentException("DeepSpeed: a DummyOptim goes with a DummyScheduler. Make one from a scheduler section, or with lrSchedulerCallable, which is given the real optimizer.", nameof(scheduler));
            return;
        }

        if (!configures && !dummy.MakesItsOwn)
            throw new ArgumentException("DeepSpeed: DummyScheduler stands for the scheduler section of a configuration, and there is none. Add one (\"scheduler\": {\"type\": \"WarmupLR\", …}), or say lrSchedulerCallable.", nameof(scheduler));
        if (dummy.Optimizer is DummyOptim { Inner: null })
            throw new ArgumentException("DeepSpeed: Prepare the DummyOptim before, or together with, the DummyScheduler that sets its learning rates.", nameof(scheduler));
        // One step of the schedule is a step of all processes.
        var total = dummy.TotalNumSteps is { } steps && !_loaderBinding.Configuration.SplitBatches ? (steps + NumProcesses - 1) / NumProcesses : dummy.TotalNumSteps;
        dummy.Become(
            rates => WarmupSchedule.Create(document!, rates, total, dummy.WarmupNumSteps),
            () => _stepSchedulerWithOptimizer && (!GradientState.SyncGradients || StepWasSkipped(dummy.Optimizer)));
    }

    /// <summary>Moves the states of an optimizer into a file, where the configuration says so, and makes it step piece by piece where parameters are in one.</summary>
    private void PageOut(Optimizer optimizer)
    {
        if (DeepSpeedPlugin is not { Settings: { } settings } || (settings.OptimizerSwap ?? settings.ParameterSwap) is not { } swap) return;
        var fused = optimizer is DummyOptim dummy ? dummy.Inner : optimizer;
        if (fused is not (FusedAdamW or FusedAdam or Lion or FusedSGD))
            throw new NotSupportedException($"DeepSpeed: with {swap.Setting} the optimizer has to step piece by piece, which {optimizer.GetType().Name} cannot. Use FusedAdamW, FusedAdam, Lion or FusedSGD, or an optimizer section with DummyOptim.");
        if (_pagers.ContainsKey(optimizer) || !optimizer.parameters().Any(parameter => Engines().Any(engine => engine.Find(parameter) is not null))) return;
        var file = settings.OptimizerSwap is { } states ? SwapFile.Create(states, ProcessIndex) : null;
        var pager = new OptimizerPager(
            settings.OptimizerSwap ?? swap, file, parameter => Engines().Select(engine => engine.Find(parameter)?.Page).FirstOrDefault(page => page is not null), pinned: Device.type == TorchSharp.DeviceType.CUDA);
        ((FusedOptimizer)fused).PageOut(pager);
        _pagers.Add(optimizer, pager);
    }

    /// <summary>The pager of a prepared optimizer; null where nothing of it is in a file.</summary>
    internal OptimizerPager? PagerOf(Optimizer optimizer) => _pagers.GetValueOrDefault(optimizer);

    private void ForgetDeepSpeed()
    {
        foreach (var pager in _pagers.Values) pager.Dispose();
        _pagers.Clear();
        foreach (var norm in _globalNorms.Values) norm.Dispose();
        _globalNorms.Clear();
        _deepSpeedModels.Clear();
        _deepSpeedBatches.Clear();
    }
}
