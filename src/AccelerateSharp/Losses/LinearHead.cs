using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Losses;

/// <summary>The arguments of a linear head with targets, checked, as matrices in the dtype that their product is computed in.</summary>
internal sealed class LinearHead
{
    public LinearHead(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets)
    {
        (Hidden, Weight, Bias, Targets) = (hidden, weight, bias, targets);
        var (features, shape) = (hidden.shape.LastOrDefault(), string.Join(", ", hidden.shape));
        if (hidden.dim() == 0 || weight.dim() != 2 || weight.shape[1] != features)
            throw new ArgumentException($"LinearCrossEntropy: hidden is [{shape}] and weight [{string.Join(", ", weight.shape)}]; they must be [..., features] and [vocabulary, features].", nameof(weight));
        if (bias is not null && (bias.dim() != 1 || bias.shape[0] != weight.shape[0]))
            throw new ArgumentException($"LinearCrossEntropy: bias is [{string.Join(", ", bias.shape)}]; it must be [{weight.shape[0]}], one for each class.", nameof(bias));
        if (!targets.shape.SequenceEqual(hidden.shape.SkipLast(1)))
            throw new ArgumentException($"LinearCrossEntropy: targets are [{string.Join(", ", targets.shape)}]; for hidden [{shape}] they must be [{string.Join(", ", hidden.shape.SkipLast(1))}].", nameof(targets));
        if (targets.dtype != ScalarType.Int64)
            throw new ArgumentException($"LinearCrossEntropy: targets are {targets.dtype}; they are class indices, Int64.", nameof(targets));
        foreach (var (tensor, name) in new[] { (weight, nameof(weight)), (targets, nameof(targets)), (bias ?? weight, nameof(bias)) })
            if (tensor.device_type != hidden.device_type || tensor.device_index != hidden.device_index)
                throw new ArgumentException($"LinearCrossEntropy: {name} is on {tensor.device} and hidden on {hidden.device}.", name);
        Dtype = ProductDtype();
    }

    public Tensor Hidden { get; }

    public Tensor Weight { get; }

    public Tensor? Bias { get; }

    public Tensor Targets { get; }

    /// <summary>What the products are computed in: autocast's dtype, or that of the tensors.</summary>
    public ScalarType Dtype { get; }

    /// <summary>What softmax, loss and sums are computed in.</summary>
    public ScalarType SumDtype => Dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;

    public long Tokens => Targets.numel();

    public long Vocabulary => Weight.shape[0];

    /// <summary>The same tensors without a history, for a backward pass that computes again; they belong to the caller.</summary>
    public LinearHead Detached() => new(Hidden.detach(), Weight.detach(), Bias?.detach(), Targets.detach(), Dtype);

    public IEnumerable<Tensor> Tensors => Bias is null ? [Hidden, Weight, Targets] : [Hidden, Weight, Targets, Bias];

    private LinearHead(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets, ScalarType dtype) =>
        (Hidden, Weight, Bias, Targets, Dtype) = (hidden, weight, bias, targets, dtype);

    private ScalarType ProductDtype()
    {
        var device = Hidden.device_type;
        // As autocast does it: float64 is left alone.
        if (Hidden.dtype != ScalarType.Float64 && device is TorchSharp.DeviceType.CPU or TorchSharp.DeviceType.CUDA && Autocast.IsEnabled(device)) return Autocast.Dtype(device);
        if (!Hidden.is_floating_point() || Weight.dtype != Hidden.dtype || (Bias is not null && Bias.dtype != Hidden.dtype))
            throw new ArgumentException($"LinearCrossEntropy: hidden is {Hidden.dtype}, weight {Weight.dtype}{(Bias is null ? "" : $", bias {Bias.dtype}")}; outside of autocast they must be one floating-point type.");
        return Hidden.dtype;
    }
}
