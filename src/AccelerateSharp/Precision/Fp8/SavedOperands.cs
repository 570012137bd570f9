using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>What the backward of one float8 product needs of its forward: one byte for each element of the input, and of the weight.</summary>
internal sealed class SavedOperands : IDisposable
{
    /// <summary>Transposed; null where the weight needs no gradient.</summary>
    public QuantizedMatrix? Input { get; init; }

    /// <summary>The input as it was, where the gradient of the weight is not computed in float8; no copy.</summary>
    public Tensor? ExactInput { get; init; }

    /// <summary>Transposed; null where the input needs no gradient, or the weight is quantised again.</summary>
    public QuantizedMatrix? Weight { get; init; }

    /// <summary>The weight itself, whose memory a sharding engine frees meanwhile and fills again; no copy.</summary>
    public Tensor? ExactWeight { get; init; }

    public bool IsFreed { get; private set; }

    public void Dispose()
    {
        IsFreed = true;
        Input?.Dispose();
        ExactInput?.Dispose();
        Weight?.Dispose();
        ExactWeight?.Dispose();
    }
}
