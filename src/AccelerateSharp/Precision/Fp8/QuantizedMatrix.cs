using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>A matrix in float8: value = code × <see cref="Inverse"/>. Its tensors are outside of every dispose scope.</summary>
/// <param name="Codes">[rows, columns]; null where nobody asked for it.</param>
/// <param name="Turned">Transposed: [columns, rows rounded up to 16], zeros behind the rows; null where nobody asked for it.</param>
/// <param name="Inverse">One float32 on the device.</param>
internal sealed record QuantizedMatrix(Tensor? Codes, Tensor? Turned, Tensor Inverse) : IDisposable
{
    /// <summary>The same memory with an owner of its own.</summary>
    public QuantizedMatrix Share() => new(Share(Codes), Share(Turned), Share(Inverse)!);

    /// <summary>The transposed form alone, for backward; the other one's memory goes when its last owner does.</summary>
    public QuantizedMatrix ShareTurned() => new(null, Share(Turned), Share(Inverse)!);

    public void Dispose()
    {
        Codes?.Dispose();
        Turned?.Dispose();
        Inverse.Dispose();
    }

    private static Tensor? Share(Tensor? tensor) => tensor is null ? null : Tensor.UnsafeCreateTensor(TensorHandles.Duplicate(tensor.Handle)).DetachFromDisposeScope();
}
