using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Internal;

/// <summary>Scaled dot-product attention through libtorch, which takes flash attention where it can.</summary>
internal static class Attention
{
    private static readonly TorchOperator _attention = TorchOperator.Get(
        "aten::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor");

    /// <param name="queries">[batch, heads, time, width].</param>
    /// <param name="keys">[batch, heads or a divisor of them, time before and now, width].</param>
    /// <param name="values">Shaped like the keys.</param>
    /// <param name="mask">Where a query may look: bool, broadcast to [batch, heads, time, time before and now]; null for everywhere.</param>
    /// <param name="isCausal">Whether a query looks only at what is before it; without a mask.</param>
    /// <param name="dropout">The probability with which a weight is dropped.</param>
    /// <returns>[batch, heads, time, width].</returns>
    public static Tensor Mix(Tensor queries, Tensor keys, Tensor values, Tensor? mask, bool isCausal, double dropout = 0)
    {
        var (heads, shared, time) = (queries.shape[1], keys.shape[1], queries.shape[2]);
        if (heads == shared) return Call(queries, keys, values, mask, isCausal, dropout, isGrouped: false);
        // The queries of one token that share keys are as many rows of one head.
        if (time == 1)
        {
            var grouped = queries.reshape(queries.shape[0], shared, heads / shared, queries.shape[3]);
            return Call(grouped, keys, values, mask, isCausal: false, dropout, isGrouped: false).reshape(queries.shape);
        }
        // Flash attention takes fewer keys than queries; in float32 a GPU has only the kernel that does not.
        if (queries.device.type != DeviceType.CUDA || queries.dtype != ScalarType.Float32 || AutocastDtype.TryGet(DeviceType.CUDA, out _))
            return Call(queries, keys, values, mask, isCausal, dropout, isGrouped: true);
        return Call(queries, Repeat(keys, heads / shared), Repeat(values, heads / shared), mask, isCausal, dropout, isGrouped: false);
    }

    private static Tensor Call(Tensor queries, Tensor keys, Tensor values, Tensor? mask, bool isCausal, double dropout, bool isGrouped) =>
        _attention.CallForTensor(queries, keys, values, mask, dropout, isCausal, TorchArgument.None, isGrouped);

    private static Tensor Repeat(Tensor shared, long times)
    {
        var shape = shared.shape;
        return shared.unsqueeze(2).expand(shape[0], shape[1], times, shape[2], shape[3]).reshape(shape[0], shape[1] * times, shape[2], shape[3]);
    }
}
