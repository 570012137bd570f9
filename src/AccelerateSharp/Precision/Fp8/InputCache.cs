using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>The input that this thread quantised last: query, key and value, gate and up projection share theirs.</summary>
internal sealed class InputCache : IDisposable
{
    private static readonly TorchOperator _version = TorchOperator.Get("aten::_version(Tensor self) -> int");

    private Tensor? _input;
    private QuantizedMatrix? _quantized;
    private long _versionThen;

    /// <summary>The float8 form of <paramref name="input"/>, if it is the last one and was not written to since.</summary>
    /// <param name="input">A tensor that takes part in backward.</param>
    /// <param name="turned">Whether the transposed form is wanted too.</param>
    public QuantizedMatrix? Find(Tensor input, bool turned) =>
        _input is not null && TensorHandles.Identity(_input) == TensorHandles.Identity(input) && (_quantized!.Turned is not null || !turned)
        && _version.CallForInteger(input) == _versionThen
            ? _quantized
            : null;

    /// <summary>Keeps the input alive, so that no other tensor can be taken for it.</summary>
    public void Set(Tensor input, QuantizedMatrix quantized)
    {
        Dispose();
        _input = Tensor.UnsafeCreateTensor(TensorHandles.Duplicate(input.Handle)).DetachFromDisposeScope();
        (_quantized, _versionThen) = (quantized, _version.CallForInteger(input));
    }

    public void Dispose()
    {
        _input?.Dispose();
        _quantized?.Dispose();
        (_input, _quantized) = (null, null);
    }
}
