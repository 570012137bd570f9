using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Safetensors;

/// <summary>A tensor to be written.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Dtype">The type of its elements.</param>
/// <param name="Shape">Its extents; empty for a scalar.</param>
/// <param name="Write">Writes all its bytes, row-major and little-endian, to a file from a position on.</param>
internal sealed record SafetensorsSource(string Name, SafetensorsDtype Dtype, IReadOnlyList<long> Shape, Action<SafeFileHandle, long> Write)
{
    /// <summary>Its size, in bytes.</summary>
    public long ByteCount { get; } = checked(Shape.Aggregate((long)Dtype.Bits(), (product, extent) => checked(product * extent)) / 8);
}
