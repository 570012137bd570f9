using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;

namespace AccelerateSharp.Data;

/// <summary>Gets batches out of user code with handles that the loader may dispose of without hurting anybody.</summary>
internal static class Ownership
{
    /// <summary>
    /// Runs <paramref name="produce"/>: what it creates and does not return is freed, what it returns and did not create (a cached
    /// tensor, say) is handed on under a handle of our own. The batch is in no dispose scope.
    /// </summary>
    public static T Capture<T>(Func<T> produce)
    {
        using var scope = NewDisposeScope();
        return TensorTree.Map(produce(), tensor => scope.Contains(tensor) ? scope.Detach(tensor) : scope.Detach(tensor.alias()));
    }

    /// <summary>The batch on <paramref name="device"/>; tensors that had to be copied are disposed of.</summary>
    public static T Move<T>(T owned, Device device, bool nonBlocking) => TensorTree.Map(owned, tensor =>
    {
        if (IsOn(tensor, device)) return tensor;
        var moved = tensor.to(device, non_blocking: nonBlocking).DetachFromDisposeScope();
        tensor.Dispose();
        return moved;
    });

    /// <summary>The batch in page-locked memory, from which copies to a GPU need no staging; as it is without CUDA.</summary>
    public static T Pin<T>(T owned) => !cuda.is_available() ? owned : TensorTree.Map(owned, tensor =>
    {
        if (tensor.device_type != TorchSharp.DeviceType.CPU) return tensor;
        var pinned = tensor.pin_memory().DetachFromDisposeScope();
        tensor.Dispose();
        return pinned;
    });

    public static bool IsOn(Tensor tensor, Device device) =>
        tensor.device_type == device.type && (device.type == TorchSharp.DeviceType.CPU || device.index < 0 || tensor.device_index == device.index);

    public static void Dispose<T>(T owned) => TensorTree.ForEach(owned, tensor => tensor.Dispose());

}
