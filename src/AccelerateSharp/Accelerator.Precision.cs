using AccelerateSharp.Parallel;
using AccelerateSharp.Precision;
using static TorchSharp.torch;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private readonly AutocastKwargs _autocast;

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
}
