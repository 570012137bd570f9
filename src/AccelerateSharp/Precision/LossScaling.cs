using TorchSharp.Modules;
using static TorchSharp.torch;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Precision;

/// <summary>fp16 training with the user's own optimizers: what they see is unscaled, and what overflowed they do not see.</summary>
/// <remarks>
/// TorchSharp's optimizers have no hook before <c>step</c>, but all of them pass over a parameter without a gradient. So each
/// synchronised backward ends with unscaling, and gradients that overflowed are dropped: the step that follows changes neither
/// weights nor optimizer state. Clipping needs no unscaling of its own. The one wait for the device is the one that PyTorch's
/// scaler has: the host must know whether to step.
/// </remarks>
internal sealed class LossScaling(GradScaler scaler) : IDisposable
{
    private readonly HashSet<Optimizer> _skipped = new(ReferenceEqualityComparer.Instance);
    private bool _visibleAreUnscaled;

    public GradScaler Scaler { get; } = scaler;

    /// <summary>Whether the last step of this optimizer, or of any one for null, was skipped.</summary>
    public bool WasSkipped(Optimizer? optimizer) => optimizer is null ? _skipped.Count > 0 : _skipped.Contains(optimizer);

    /// <summary>Before a backward pass: its gradients are scaled, and what they are added to must be too.</summary>
    public void BeforeBackward(IEnumerable<Parameter> parameters)
    {
        if (!_visibleAreUnscaled) return;
        _visibleAreUnscaled = false;
        using var scope = NewDisposeScope();
        Scaler.Rescale(Gradients(parameters));
    }

    /// <summary>After a synchronised backward pass: unscales, drops what overflowed, and sets the scale of the next step.</summary>
    /// <param name="optimizers">The prepared optimizers; each is skipped for itself.</param>
    /// <param name="others">All other parameters that are trained.</param>
    /// <param name="group">All ranks of the job, which must decide alike; null in a job of one process.</param>
    public void AfterBackward(IReadOnlyList<Optimizer> optimizers, IEnumerable<Parameter> others, ProcessGroup? group)
    {
        _visibleAreUnscaled = true;
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var seen = new HashSet<Parameter>(ReferenceEqualityComparer.Instance);
        Parameter[][] owned = [.. optimizers.Select(optimizer => optimizer.parameters()).Append(others).Select(all => all.Where(seen.Add).ToArray())];
        var found = stack(owned.Select(Unscale).ToArray());
        group?.AllReduce(found, ReduceOp.Max);
        Scaler.Update(found.amax([0]));
        _skipped.Clear();
        var overflowed = found.cpu().data<float>().ToArray();
        for (var i = 0; i < owned.Length; i++)
        {
            if (overflowed[i] == 0) continue;
            foreach (var parameter in owned[i]) parameter.grad = null;
            if (i < optimizers.Count) _skipped.Add(optimizers[i]);
        }
    }

    public void Dispose() => Scaler.Dispose();

    private Tensor Unscale(Parameter[] parameters)
    {
        var gradients = Gradients(parameters).ToList();
        if (gradients.Exists(gradient => gradient.dtype == ScalarType.Float16))
        {
            throw new InvalidOperationException(
                "fp16 with loss scaling needs weights in float32 (or bfloat16): their gradients would overflow unseen in float16. Make the model in float32; its forward computes in float16 all the same.");
        }

        return Scaler.Unscale(gradients);
    }

    private static IEnumerable<Tensor> Gradients(IEnumerable<Parameter> parameters) =>
        parameters.Select(parameter => parameter.grad).OfType<Tensor>();
}
