using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Precision;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private readonly AutocastKwargs _autocast;
    private readonly LossScaling? _lossScaling;

    /// <summary>The scale of the loss; null unless this run computes in fp16 and scales.</summary>
    public GradScaler? Scaler => _lossScaling?.Scaler;

    /// <summary>Whether the last step of a prepared optimizer was skipped because its gradients overflowed. Only fp16 can skip one.</summary>
    public bool OptimizerStepWasSkipped => StepWasSkipped(null);

    /// <summary>What mixed precision computes in; null where it is off.</summary>
    private ScalarType? AutocastDtype => PrecisionChoice.AutocastDtype(MixedPrecision);

    /// <summary>Code outside of a prepared model, the loss for instance, under the precision of this run: <c>using (accelerator.Autocast()) { … }</c>.</summary>
    /// <remarks>
    /// The forward of a prepared model is under autocast anyway. Without mixed precision the scope does nothing. It is a matter of
    /// one thread: no <c>await</c> inside.
    /// </remarks>
    /// <param name="enabled">False: an island of full precision inside a model's forward.</param>
    /// <exception cref="InvalidOperationException">The scope ends on another thread than it began on.</exception>
    public IDisposable Autocast(bool enabled = true) => Autocast(new AutocastKwargs { Enabled = enabled });

    /// <inheritdoc cref="Autocast(bool)"/>
    /// <param name="options">Whether it is on, and whether weights that were cast are kept.</param>
    public IDisposable Autocast(AutocastKwargs options)
    {
        ArgumentNullException.ThrowIfNull(options);
        OpenForwards.CloseAbandoned();
        if (AutocastDtype is not { } dtype) return new Scope(static () => { });
        return new AutocastScope(Device, dtype, options);
    }

    /// <summary>Nothing to do: after a synchronised <see cref="Backward"/> gradients are unscaled already.</summary>
    /// <remarks>Kept for programs that come from Python, where code that reads gradients under fp16 calls it first.</remarks>
    /// <param name="optimizer">The optimizer whose gradients are meant; all where null.</param>
    public void UnscaleGradients(Optimizer? optimizer = null)
    {
    }

    /// <summary>Which numbers a prepared model stores, computes with and sends: a table of what is really there.</summary>
    /// <remarks>Optimizer states are made in the first step; before it they are not in the table. docs/mixed-precision.md has the table of all configurations.</remarks>
    /// <param name="model">A prepared model.</param>
    /// <exception cref="ArgumentException">The model is not prepared.</exception>
    public PrecisionReport PrecisionReport(torch.nn.Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        var prepared = _models.Find(prepared => prepared.Model == model)
            ?? throw new ArgumentException($"PrecisionReport: {model.GetName()} is not prepared; call accelerator.Prepare(model) first.", nameof(model));
        var autocast = _autocast.Enabled && prepared.ComputesUnderAutocast ? AutocastDtype : null;
        return new(
            $"{model.GetType().Name}: mixed precision {MixedPrecision.ToString().ToLowerInvariant()}, {Strategy(prepared.Synchronizer)}",
            new PrecisionInspector(autocast, _optimizers, prepared.Float8).Rows(model, prepared.Synchronizer));
    }

    private string Strategy(IGradientSynchronizer? synchronizer) => synchronizer switch
    {
        ShardingEngine engine => $"sharded (ZeRO stage {(int)engine.Options.Stage}) over {NumProcesses} processes",
        not null => $"data parallel over {NumProcesses} processes",
        _ => "one process",
    };

    private bool StepWasSkipped(Optimizer? optimizer) => _lossScaling?.WasSkipped(optimizer) ?? false;

    private LossScaling? CreateLossScaling(GradScalerKwargs? options)
    {
        if (MixedPrecision != MixedPrecision.FP16)
        {
            if (options is not null && IsMainProcess)
                Console.Error.WriteLine($"Accelerator: gradScaler has no effect with mixed precision {MixedPrecision}; only FP16 scales the loss.");
            return null;
        }

        if (DeepSpeedPlugin is { Settings.LossScale: { } rule })
        {
            if (options is not null && IsMainProcess) Console.Error.WriteLine("Accelerator: gradScaler has no effect under DeepSpeed, whose fp16 section says how the loss is scaled.");
            return new LossScaling(new GradScaler(new() { InitScale = rule.Initial, GrowthInterval = rule.Window }, Device, new DeepSpeedLossScale(rule)));
        }

        options ??= new();
        return options.Enabled ? new LossScaling(new GradScaler(options, Device)) : null;
    }

    private IEnumerable<Parameter> ScaledParameters() =>
        _optimizers.SelectMany(optimizer => optimizer.parameters()).Concat(ParametersOfModels()).Distinct<Parameter>(ReferenceEqualityComparer.Instance);

    private IEnumerable<Parameter> ParametersOfModels() =>
        _models.SelectMany(model => model.Model.parameters()).Where(parameter => parameter.requires_grad);
}
