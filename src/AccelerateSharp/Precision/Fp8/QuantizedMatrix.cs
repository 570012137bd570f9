using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>A matrix in float8: value = code × <see cref="Inverse"/>, of its row where it has many. Its tensors are outside of every dispose scope.</summary>
/// <param name="Codes">[rows, columns]; null where nobody asked for it.</param>
/// <param name="Turned">Transposed: [columns, rows rounded up to 16], zeros behind the rows; null where nobody asked for it.</param>
/// <param name="Inverse">Float32 on the device: one, or under row-wise scaling one for each row, [rows, 1].</param>
/// <param name="RowInverse">Under row-wise scaling those of the transposed form, [columns, 1]; else null: it is the same one.</param>
internal sealed record QuantizedMatrix(Tensor? Codes, Tensor? Turned, Tensor Inverse, Tensor? RowInverse = null) : IDisposable
{
    /// <summary>What the codes of the transposed form are multiplied with.</summary>
    public Tensor TurnedInverse => RowInverse ?? Inverse;

    /// <summary>The same memory with an owner of its own.</summary>
    public QuantizedMatrix Share() => new(Share(Codes), Share(Turned), Share(Inverse)!, Share(RowInverse));

    /// <summary>The transposed form alone, for backward; the other one's memory goes when its last owner does.</summary>
    public QuantizedMatrix ShareTurned() => new(null, Share(Turned), Share(Inverse)!, Share(RowInverse));

    public void Dispose()
    {
        Codes?.Dispose();
        Turned?.Dispose();
        Inverse.Dispose();
        RowInverse?.Dispose();
    }

    private static Tensor? Share(Tensor? tensor) => tensor is null ? null : Tensor.UnsafeCreateTensor(TensorHandles.Duplicate(tensor.Handle)).DetachFromDisposeScope();
}
