using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;
using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private readonly BackwardErrors _backwardErrors = BackwardErrors.Shared;
    private int _step;
    private int _noSync;

    /// <summary>Whether this iteration ends with synchronised gradients and an optimizer step; false inside an accumulation window.</summary>
    public bool SyncGradients
    {
        get => GradientState.SyncGradients;
        set => GradientState.SyncGradients = value;
    }

    /// <summary>Micro-batches per optimizer step.</summary>
    public int GradientAccumulationSteps => GradientState.NumSteps;

    /// <summary>Computes the gradients of the prepared models and averages them over the processes.</summary>
    /// <param name="loss">
    /// This process' mean loss, a scalar. Under gradient accumulation it is divided by the number of steps, also in a window that
    /// the end of the loader cuts short.
    /// </param>
    /// <remarks>
    /// <para>Inside an accumulation window the gradients are kept from the optimizer, so that its step and zero_grad do nothing until the window is complete.</para>
    /// <para>
    /// Under fp16 the loss is scaled, and the gradients are unscaled when a synchronised backward ends. Where they overflowed,
    /// on any rank, the parameters of that optimizer are left without a gradient: its step does nothing. One call for each
    /// optimizer step, or an accumulation window: what overflowed in one of several calls is missing in the step.
    /// </para>
    /// </remarks>
    /// <exception cref="DistributedException">A peer died, a collective timed out or did not match.</exception>
    public void Backward(Tensor loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        OpenForwards.CloseAbandoned();
        var inWindow = !GradientState.SyncGradients;
        var synchronize = _noSync == 0 && (!inWindow || GradientState.SyncEachBatch);
        _lossScaling?.BeforeBackward(ScaledParameters());
        var synchronizers = _models.SelectMany(model => new[] { model.Synchronizer, model.Float8?.Gradients }).OfType<IGradientSynchronizer>().ToList();
        foreach (var synchronizer in synchronizers) synchronizer.BeforeBackward(synchronize);
        try
        {
            Differentiate(loss);
            _backwardErrors.ThrowPending();
            BackwardErrors.Shared.ThrowPending();
            foreach (var synchronizer in synchronizers) synchronizer.AfterBackward(hide: inWindow);
        }
        catch
        {
            foreach (var synchronizer in synchronizers) synchronizer.AbandonBackward();
            throw;
        }

        if (_state.PartialState.Debug) ReportUnused(synchronizers.OfType<GradientReducer>());
        if (inWindow) (_held ??= new HeldGradients(UnreducedParameters())).Hold();
        else _held?.Release();
        if (!synchronize || inWindow) return;
        AfterFp8Step();
        _lossScaling?.AfterBackward(_optimizers, ParametersOfModels(), synchronizers.Count > 0 ? ProcessGroup : null);
        ClipAsConfigured();
    }

    /// <summary>The loss of a micro-batch counts for its share of the window, and under fp16 times the scale.</summary>
    private void Differentiate(Tensor loss)
    {
        // No dispose scope: what the reducers make while the engine runs must outlive it.
        using var share = GradientState.NumSteps > 1 ? loss / GradientState.NumSteps : null;
        using var scaled = Scaler?.ScaleLoss(share ?? loss);
        (scaled ?? share ?? loss).backward();
    }

    /// <summary>One micro-batch of an accumulation window: <c>using (accelerator.Accumulate(model)) { forward, Backward, step }</c>.</summary>
    /// <remarks>
    /// Gradients are synchronised in every <see cref="GradientAccumulationSteps"/>-th block and in the last one of a loader. One
    /// forward and one <see cref="Backward"/> per block.
    /// </remarks>
    /// <param name="models">The models that the block trains.</param>
    /// <returns>The block's scope.</returns>
    public IDisposable Accumulate(params Module[] models)
    {
        if (GradientState.SyncWithDataLoader && GradientState.EndOfDataLoader)
        {
            _step = 0;
            GradientState.SyncGradients = true;
        }
        else
        {
            _step++;
            GradientState.SyncGradients = _step % GradientState.NumSteps == 0;
        }

        return new Scope(static () => { });
    }

    /// <summary>Backward passes inside of the scope stay on this process: <c>using (accelerator.NoSync(model)) { … }</c>.</summary>
    /// <remarks>The next synchronised backward averages what was gathered. Forward and backward both belong inside.</remarks>
    /// <param name="model">The model.</param>
    public IDisposable NoSync(Module model)
    {
        _noSync++;
        return new Scope(() => _noSync--);
    }

    /// <summary>Scales the gradients so that their norm over all parameters is at most <paramref name="maxNorm"/>.</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="maxNorm">The largest norm allowed.</param>
    /// <param name="normType">Which p-norm; 2 by default, infinity for the largest element.</param>
    /// <remarks>
    /// Where a DeepSpeed configuration says <c>gradient_clipping</c>, the last synchronised <see cref="Backward"/> has clipped, and this
    /// returns the norm that the gradients had.
    /// </remarks>
    /// <returns>The norm before clipping, a scalar tensor on the gradients' device; reading it waits for the device.</returns>
    public Tensor ClipGradNorm(IEnumerable<Parameter> parameters, double maxNorm, double normType = 2)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        return ConfiguredNorm(maxNorm) ?? GradientClipping.ByNorm(parameters, maxNorm, normType, Device, ShardGroupOf);
    }

    /// <summary>Limits every element of the gradients to [-<paramref name="clipValue"/>, <paramref name="clipValue"/>].</summary>
    public void ClipGradValue(IEnumerable<Parameter> parameters, double clipValue)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        GradientClipping.ByValue(parameters, clipValue);
    }

    /// <summary>Whether the next forward belongs to a synchronised step.</summary>
    private bool SynchronizesNext() => _noSync == 0 && (GradientState.SyncGradients || GradientState.SyncEachBatch);

    /// <summary>In debug mode, when it changes: a parameter that no rank uses is often a layer that was meant to train.</summary>
    private void ReportUnused(IEnumerable<GradientReducer> reducers)
    {
        foreach (var reducer in reducers.Where(reducer => reducer.UnusedParametersChanged && IsMainProcess))
        {
            Console.Error.WriteLine(reducer.UnusedParameters.Count == 0
                ? $"{reducer.Model.GetName()}: every parameter got a gradient."
                : $"{reducer.Model.GetName()}: no rank computed a gradient of {string.Join(", ", reducer.UnusedParameters)}.");
        }
    }

    /// <summary>Trainable parameters whose gradients nobody holds: those of a job of one process.</summary>
    private IReadOnlyList<Parameter> UnreducedParameters()
    {
        var reduced = _models.Where(model => model.Synchronizer is not null).SelectMany(model => model.Model.parameters()).ToHashSet<Parameter>(ReferenceEqualityComparer.Instance);
        return [.. _models.SelectMany(model => model.Model.parameters())
            .Concat(_optimizers.SelectMany(optimizer => optimizer.parameters()))
            .Where(parameter => parameter.requires_grad && !reduced.Contains(parameter) && !MsAmpWeight.TryFind(parameter, out _))
            .Distinct<Parameter>(ReferenceEqualityComparer.Instance)];
    }

    private void ResetHeldGradients()
    {
        _held?.Release();
        _held = null;
    }

    private sealed class Scope(Action end) : IDisposable
    {
        private Action? _end = end;

        public void Dispose() => Interlocked.Exchange(ref _end, null)?.Invoke();
    }
}
