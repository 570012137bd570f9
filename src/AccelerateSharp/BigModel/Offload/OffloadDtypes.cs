using AccelerateSharp.Checkpoints.Safetensors;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>Names of dtypes in an offload folder's index: numpy's where it has one.</summary>
internal static class OffloadDtypes
{
    private static readonly (string Name, ScalarType Dtype)[] _all =
    [
        ("bool", ScalarType.Bool), ("uint8", ScalarType.Byte), ("int8", ScalarType.Int8), ("int16", ScalarType.Int16), ("int32", ScalarType.Int32),
        ("int64", ScalarType.Int64), ("float16", ScalarType.Float16), ("bfloat16", ScalarType.BFloat16), ("float32", ScalarType.Float32),
        ("float64", ScalarType.Float64), ("complex64", ScalarType.ComplexFloat32), ("complex128", ScalarType.ComplexFloat64),
        ("float8_e4m3fn", TensorDtypes.Float8E4M3), ("float8_e5m2", TensorDtypes.Float8E5M2),
    ];

    public static string Name(ScalarType dtype, string tensor) => _all.FirstOrDefault(entry => entry.Dtype == dtype).Name
        ?? throw new NotSupportedException($"Tensor '{tensor}' is of dtype {dtype}, which cannot be offloaded to disk.");

    public static ScalarType? Parse(string? name)
    {
        foreach (var (known, dtype) in _all)
        {
            if (known == name) return dtype;
        }
        return null;
    }
}
