namespace AccelerateSharp.Estimation;

/// <summary>What a tensor of a model is.</summary>
internal enum TensorRole
{
    /// <summary>A parameter of the base model.</summary>
    Parameter,

    /// <summary>A parameter of the head on top of it, which the reference's estimate leaves out.</summary>
    HeadParameter,

    /// <summary>A buffer: it takes memory, but is not trained.</summary>
    Buffer,
}

/// <summary>A tensor of a model, as far as its memory goes.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Shape">Its extents.</param>
/// <param name="Layer">The part that is never split over devices (a transformer block, an embedding), or the module that it belongs to.</param>
/// <param name="Role">What it is.</param>
/// <param name="BitsPerElement">The size of an element of a model in float32.</param>
internal sealed record ModelTensor(string Name, long[] Shape, string Layer, TensorRole Role = TensorRole.Parameter, int BitsPerElement = 32)
{
    public long ElementCount { get; } = Shape.Aggregate(1L, (product, extent) => checked(product * extent));

    /// <summary>Its size in a model in float32, in bytes.</summary>
    public long ByteCount => checked(ElementCount * BitsPerElement) / 8;

    /// <summary>Whether LoRA adds an adapter to it: a matrix inside of a block.</summary>
    public bool IsAdaptable => Role == TensorRole.Parameter && Shape.Length == 2 && Layer.AsSpan().ContainsAnyInRange('0', '9');
}
