using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>Gradient clipping that leaves the host free: nothing is read back from the device.</summary>
internal static class GradientClipping
{
    /// <summary>PyTorch's <c>clip_grad_norm_</c>: one coefficient for all gradients, min(1, max / (norm + 1e-6)).</summary>
    public static Tensor ByNorm(IEnumerable<Parameter> parameters, double maxNorm, double normType, Device device)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var gradients = Gradients(parameters);
        if (gradients.Count == 0) return zeros(1, device: device).squeeze().MoveToOuterDisposeScope();
        var norms = gradients.Select(gradient => Norm(gradient, normType).to(gradients[0].device)).ToArray();
        var total = Norm(stack(norms), normType);
        var coefficient = (maxNorm / (total + 1e-6)).clamp_max(1.0);
        foreach (var gradient in gradients) gradient.mul_(coefficient.to(gradient.device));
        return total.MoveToOuterDisposeScope();
    }

    public static void ByValue(IEnumerable<Parameter> parameters, double clipValue)
    {
        if (!(clipValue > 0)) throw new ArgumentOutOfRangeException(nameof(clipValue), clipValue, "ClipGradValue: clipValue must be above 0.");
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        foreach (var gradient in Gradients(parameters)) gradient.clamp_(-clipValue, clipValue);
    }

    private static List<Tensor> Gradients(IEnumerable<Parameter> parameters) =>
        [.. parameters.Distinct<Parameter>(ReferenceEqualityComparer.Instance).Select(parameter => parameter.grad).OfType<Tensor>()];

    private static Tensor Norm(Tensor tensor, double normType) =>
        double.IsPositiveInfinity(normType) ? tensor.abs().max() : tensor.norm((float)normType);
}
