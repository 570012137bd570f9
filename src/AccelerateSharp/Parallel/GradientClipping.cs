using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>Gradient clipping that leaves the host free: nothing is read back from the device, and a few kernels take whole lists.</summary>
internal static class GradientClipping
{
    private static readonly TorchOperator _multiply = TorchOperator.Get("aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()");

    /// <summary>PyTorch's <c>clip_grad_norm_</c>: one coefficient for all gradients, min(1, max / (norm + 1e-6)).</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="maxNorm">The largest norm allowed.</param>
    /// <param name="normType">Which p-norm.</param>
    /// <param name="device">Where the result is if there are no gradients.</param>
    /// <param name="shardGroupOf">The ranks between which a parameter is divided; null where this rank has the whole. One reduction of one number for each such group.</param>
    public static Tensor ByNorm(IEnumerable<Parameter> parameters, double maxNorm, double normType, Device device, Func<Parameter, ProcessGroup?> shardGroupOf)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var all = parameters.Distinct<Parameter>(ReferenceEqualityComparer.Instance).ToList();
        var parts = all.GroupBy(shardGroupOf, GroupComparer.Instance).Select(part => (Group: part.Key, Gradients: Gradients(part, normType))).ToList();
        var gradients = parts.SelectMany(part => part.Gradients).ToList();
        if (gradients.Count > 0) device = gradients[0].device;
        // A rank without a gradient of its own still takes part where others may have one.
        var norms = parts.Select(part => NormOf(part.Gradients, normType, part.Group, device)).ToArray();
        if (norms.Length == 0) return zeros(1, device: device).squeeze().MoveToOuterDisposeScope();
        var total = Norm(stack(norms), normType);
        var coefficient = (maxNorm / (total + 1e-6)).clamp_max(1.0);
        foreach (var (where, alike) in AlikeTensors.Of(gradients.Where(gradient => !gradient.is_sparse))) _multiply.Call(alike, coefficient.to(where));
        foreach (var gradient in gradients.Where(gradient => gradient.is_sparse)) gradient.mul_(coefficient.to(gradient.device));
        // Of a gradient in float8, the scale is multiplied: its codes stay.
        foreach (var stored in MsAmpWeight.Among(all)) stored.GradientInverse.mul_(coefficient.to(stored.GradientInverse.device));
        return total.MoveToOuterDisposeScope();
    }

    public static void ByValue(IEnumerable<Parameter> parameters, double clipValue)
    {
        if (!(clipValue > 0)) throw new ArgumentOutOfRangeException(nameof(clipValue), clipValue, "ClipGradValue: clipValue must be above 0.");
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var all = parameters.ToList();
        if (MsAmpWeight.Among(all).Any())
            throw new NotSupportedException("ClipGradValue: under MS-AMP, gradients are in float8 with one scale for each, and single elements cannot be cut. Use ClipGradNorm.");
        foreach (var gradient in Gradients(all, 2)) gradient.clamp_(-clipValue, clipValue);
    }

    /// <summary>The gradients; one in float8 is represented by its norm, which adds as much to the norm of all.</summary>
    private static List<Tensor> Gradients(IEnumerable<Parameter> parameters, double normType) =>
    [
        .. parameters.Distinct<Parameter>(ReferenceEqualityComparer.Instance)
            .Select(parameter => parameter.grad is { } gradient && MsAmpWeight.TryFind(parameter, out var stored) ? Norm(stored.Gradient(), normType).reshape(1) : parameter.grad)
            .OfType<Tensor>(),
    ];

    /// <summary>The norm of gradients that lie here, and on the other ranks of a group.</summary>
    private static Tensor NormOf(List<Tensor> gradients, double normType, ProcessGroup? group, Device device)
    {
        var norms = AlikeTensors.Of(gradients.Where(gradient => !gradient.is_sparse && gradient.numel() > 0))
            .Select(alike => ForeachScript.Norms(alike.Tensors, normType))
            .Concat(gradients.Where(gradient => gradient.is_sparse).Select(gradient => Norm(gradient, normType).unsqueeze(0)))
            .Select(part => part.to(ScalarType.Float32).to(device))
            .ToArray();
        var mine = norms.Length == 0 ? zeros(1, device: device).squeeze() : Norm(cat(norms), normType);
        if (group is null) return mine;
        // What is exchanged lives where the group's backend works, whatever the gradients were moved to.
        var isMax = double.IsPositiveInfinity(normType);
        var sum = (isMax ? mine : mine.pow(normType)).to(group.Device);
        group.AllReduce(sum, isMax ? ReduceOp.Max : ReduceOp.Sum);
        return (isMax ? sum : sum.pow(1 / normType)).to(device);
    }

    private static Tensor Norm(Tensor tensor, double normType) =>
        double.IsPositiveInfinity(normType) ? tensor.abs().max() : tensor.norm((float)normType);

    /// <summary>Groups by identity; null is a group as well.</summary>
    private sealed class GroupComparer : IEqualityComparer<ProcessGroup?>
    {
        public static readonly GroupComparer Instance = new();

        public bool Equals(ProcessGroup? x, ProcessGroup? y) => ReferenceEquals(x, y);

        public int GetHashCode(ProcessGroup? group) => group is null ? 0 : System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(group);
    }
}
