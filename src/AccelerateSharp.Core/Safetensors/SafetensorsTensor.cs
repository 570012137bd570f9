namespace AccelerateSharp.Safetensors;

/// <summary>Where a tensor lies in a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Dtype">The type of its elements.</param>
/// <param name="Shape">Its extents; empty for a scalar.</param>
/// <param name="Begin">Its first byte, counted from the end of the header.</param>
/// <param name="End">The byte after its last, counted from the end of the header.</param>
internal sealed record SafetensorsTensor(string Name, SafetensorsDtype Dtype, IReadOnlyList<long> Shape, long Begin, long End)
{
    /// <summary>Its size, in bytes.</summary>
    public long ByteCount => End - Begin;

    /// <summary>The number of its elements.</summary>
    public long ElementCount { get; } = Shape.Aggregate(1L, (product, extent) => checked(product * extent));
}
