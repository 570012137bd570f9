using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>The dtypes of a sharded model's computation. Where one is null, the dtype of the weights is used.</summary>
/// <param name="ParamDtype">Units are gathered, and compute, in this dtype; shards keep theirs.</param>
/// <param name="ReduceDtype">Gradients are reduced in this dtype; null: in <paramref name="ParamDtype"/>.</param>
/// <param name="BufferDtype">Floating-point buffers are converted to this dtype.</param>
/// <param name="CastForwardInputs">Whether floating-point inputs of the model are converted to <paramref name="ParamDtype"/>; true by default.</param>
public sealed record FsdpMixedPrecisionPolicy(
    ScalarType? ParamDtype = null, ScalarType? ReduceDtype = null, ScalarType? BufferDtype = null, bool CastForwardInputs = true)
{
    /// <summary>The same dtype for all three.</summary>
    public static FsdpMixedPrecisionPolicy Of(ScalarType dtype) => new(dtype, dtype, dtype);
}
