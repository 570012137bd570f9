using static TorchSharp.torch;

namespace AccelerateSharp.Models.Internal;

internal static class Dtypes
{
    public static bool IsFloatingPoint(this ScalarType dtype) =>
        dtype is ScalarType.Float32 or ScalarType.Float64 or ScalarType.Float16 or ScalarType.BFloat16;

    /// <summary>The dtype as <c>torch_dtype</c> names it.</summary>
    public static string HubName(this ScalarType dtype) => dtype switch
    {
        ScalarType.Float64 => "float64",
        ScalarType.Float16 => "float16",
        ScalarType.BFloat16 => "bfloat16",
        _ => "float32",
    };
}
