using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>Accumulates gradients where one process trains alone: out of the optimizer's sight until the window is complete.</summary>
/// <remarks>
/// TorchSharp's optimizers pass over a parameter that has no gradient. So while gradients accumulate here, <c>optimizer.step()</c>
/// and <c>zero_grad()</c> do nothing, and the user's optimizer needs no wrapper that would change its type.
/// </remarks>
internal sealed class HeldGradients(IReadOnlyList<Parameter> parameters) : IDisposable
{
    private readonly Dictionary<Parameter, Tensor> _held = [];

    /// <summary>After a backward pass inside the window: takes the gradients away.</summary>
    public void Hold()
    {
        using var noGrad = no_grad();
        foreach (var parameter in parameters)
        {
            var gradient = parameter.grad;
            if (gradient is null) continue;
            parameter.grad = null;
            if (_held.TryGetValue(parameter, out var sum))
            {
                sum.add_(gradient);
                gradient.Dispose();
            }
            else
            {
                _held[parameter] = gradient.DetachFromDisposeScope();
            }
        }
    }

    /// <summary>After the window's last backward pass: gives them back, summed.</summary>
    public void Release()
    {
        using var noGrad = no_grad();
        foreach (var (parameter, sum) in _held)
        {
            using var last = parameter.grad;
            if (last is not null) sum.add_(last);
            parameter.grad = sum;
            sum.Dispose();
        }

        _held.Clear();
    }

    public void Dispose()
    {
        foreach (var sum in _held.Values) sum.Dispose();
        _held.Clear();
    }
}
