using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>What the header of a safetensors file says of one tensor.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Dtype">The type of its elements. TorchSharp's enumeration has no names for some that libtorch computes with, such as 24, <c>float8_e4m3fn</c>.</param>
/// <param name="Shape">Its extents; empty for a scalar.</param>
/// <param name="ByteCount">Its size, in bytes.</param>
/// <param name="File">The path of the file that holds it.</param>
public sealed record SafetensorsTensorInfo(string Name, ScalarType Dtype, IReadOnlyList<long> Shape, long ByteCount, string File);
