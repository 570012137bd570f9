using AccelerateSharp.Checkpoints;
using AccelerateSharp.Distributed;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>Where the values of a tensor are that its module does not hold.</summary>
/// <param name="Bytes">The bytes; null where <paramref name="Value"/> is on the device that computes.</param>
/// <param name="Value">A tensor that can be put in as it is.</param>
/// <param name="Stored">The dtype of the bytes.</param>
/// <param name="Shape">The extents.</param>
internal sealed record OffloadedWeight(ByteSource? Bytes, Tensor? Value, ScalarType Stored, long[] Shape) : IDisposable
{
    /// <summary>Values that need not be read.</summary>
    public static OffloadedWeight Of(Tensor value) => new(null, value, value.dtype, value.shape);

    /// <summary>A copy on the CPU, outside of every dispose scope.</summary>
    public Tensor Read()
    {
        using var noGrad = no_grad();
        if (Value is not null) return Value.to(CPU, copy: true).DetachFromDisposeScope();
        var tensor = empty(Shape, Stored).DetachFromDisposeScope();
        if (Bytes!.ByteCount > 0) BytePiece.ReadAll([.. Bytes.Pieces(TensorData.Pointer(tensor))]);
        return tensor;
    }

    /// <summary>Gives back the memory of the host or of a device that holds the values.</summary>
    public void Dispose()
    {
        Value?.Dispose();
        (Bytes as IDisposable)?.Dispose();
    }
}
