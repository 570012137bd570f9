using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Kernels;
using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Decoders;

/// <summary>Divides by the root of the mean square over the last dimension, in float32, and multiplies by a weight.</summary>
/// <remarks>
/// Under autocast the result is in autocast's dtype: what follows is several matrix products, each of which would otherwise cast the
/// same tensor for itself and keep its copy for backward.
/// </remarks>
internal sealed class RmsNorm : Module<Tensor, Tensor>
{
    private static readonly TorchOperator _norm = TorchOperator.Get(
        "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor");

    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    private readonly long[] _shape;
    private readonly double _epsilon;

    public RmsNorm(int width, double epsilon, ScalarType dtype, Device? device) : base(nameof(RmsNorm))
    {
        (_shape, _epsilon) = ([width], epsilon);
        _weight = Parameter(ones(width, dtype, device));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        var isAutocast = AutocastDtype.TryGet(input.device.type, out var dtype);
        if ((isAutocast || input.dtype == _weight.dtype) && RmsNormKernel.TryApply(input, _weight, _epsilon, isAutocast ? dtype : input.dtype) is { } fused) return fused;
        var normalized = _norm.CallForTensor(input, _shape, _weight, _epsilon);
        if (!isAutocast || normalized.dtype == dtype) return normalized;
        using (normalized) return normalized.to(dtype);
    }
}
