using AccelerateSharp.Data.Trees;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision;

/// <summary>What a model returns under mixed precision: its half-precision tensors, at any depth, as float32.</summary>
internal static class OutputCast
{
    public static T ToFloat32<T>(T output) => TensorTree.Map(output, ToFloat32);

    private static Tensor ToFloat32(Tensor tensor)
    {
        if (tensor.dtype is not (ScalarType.Float16 or ScalarType.BFloat16)) return tensor;
        var converted = tensor.to(ScalarType.Float32);
        if (!tensor.requires_grad || tensor.is_leaf) return converted;
        // What this forward has computed becomes float32 itself: the narrow copy (of a language model's logits it is gigabytes)
        // would otherwise live until the batch's dispose scope ends. A leaf - input, weight, buffer - stays what it is.
        ref var field = ref TensorHandles.Field(tensor);
        ref var convertedField = ref TensorHandles.Field(converted);
        (field, convertedField) = (convertedField, field);
        converted.Dispose();
        return tensor;
    }
}
