using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision;

/// <summary>Dtypes as the field writes them in tables.</summary>
internal static class DtypeNames
{
    public static string Of(ScalarType dtype) => dtype switch
    {
        ScalarType.Float64 => "fp64",
        ScalarType.Float32 => "fp32",
        ScalarType.Float16 => "fp16",
        ScalarType.BFloat16 => "bf16",
        ScalarType.Byte => "uint8",
        Float8Kinds.E5M2 or Float8Kinds.E4M3 => "fp8",
        _ => dtype.ToString().ToLowerInvariant(),
    };
}
