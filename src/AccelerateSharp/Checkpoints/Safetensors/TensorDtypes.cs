using AccelerateSharp.Safetensors;
using static TorchSharp.torch;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>The element types of safetensors as libtorch numbers them; TorchSharp's enumeration has names for the older ones only.</summary>
internal static class TensorDtypes
{
    internal const ScalarType Float8E5M2 = (ScalarType)23;
    internal const ScalarType Float8E4M3 = (ScalarType)24;

    private static readonly (SafetensorsDtype File, ScalarType Torch)[] _pairs =
    [
        (SafetensorsDtype.Bool, ScalarType.Bool), (SafetensorsDtype.U8, ScalarType.Byte), (SafetensorsDtype.I8, ScalarType.Int8),
        (SafetensorsDtype.I16, ScalarType.Int16), (SafetensorsDtype.I32, ScalarType.Int32), (SafetensorsDtype.I64, ScalarType.Int64),
        (SafetensorsDtype.F16, ScalarType.Float16), (SafetensorsDtype.BF16, ScalarType.BFloat16), (SafetensorsDtype.F32, ScalarType.Float32),
        (SafetensorsDtype.F64, ScalarType.Float64), (SafetensorsDtype.C64, ScalarType.ComplexFloat32),
        (SafetensorsDtype.F8E5M2, Float8E5M2), (SafetensorsDtype.F8E4M3, Float8E4M3), (SafetensorsDtype.U16, (ScalarType)27),
        (SafetensorsDtype.U32, (ScalarType)28), (SafetensorsDtype.U64, (ScalarType)29), (SafetensorsDtype.F8E8M0, (ScalarType)44),
    ];

    /// <exception cref="SafetensorsException">A tensor cannot hold such elements: they are narrower than a byte.</exception>
    internal static ScalarType Of(SafetensorsTensor tensor, string path)
    {
        foreach (var (file, torch) in _pairs)
        {
            if (file == tensor.Dtype) return torch;
        }
        throw new SafetensorsException($"{path}: tensor '{tensor.Name}' is of dtype {tensor.Dtype.Name()}, of which libtorch has no tensors.");
    }

    /// <exception cref="ArgumentException">The format has no such dtype.</exception>
    internal static SafetensorsDtype Of(ScalarType dtype, string name)
    {
        foreach (var (file, torch) in _pairs)
        {
            if (torch == dtype) return file;
        }
        throw new ArgumentException($"Tensor '{name}' is of dtype {dtype}, which the safetensors format does not have.", nameof(dtype));
    }

    internal static bool IsFloatingPoint(ScalarType dtype) =>
        dtype is ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float32 or ScalarType.Float64 or Float8E4M3 or Float8E5M2;
}
