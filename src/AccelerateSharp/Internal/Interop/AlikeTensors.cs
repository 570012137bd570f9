using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Tensors by device and dtype: operators over lists want one of each.</summary>
internal static class AlikeTensors
{
    internal static IEnumerable<(Device Device, Tensor[] Tensors)> Of(IEnumerable<Tensor> tensors) =>
        tensors.GroupBy(tensor => (tensor.device_type, tensor.device_index, tensor.dtype))
            .Select(group => (group.First().device, group.ToArray()));
}
