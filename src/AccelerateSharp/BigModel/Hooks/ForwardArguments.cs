using AccelerateSharp.Data.Trees;
using AccelerateSharp.Parallel.Sharding;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Brings what a module is called with to where it computes.</summary>
internal static class ForwardArguments
{
    /// <summary>Which of the arguments of a module's <c>forward</c> belong to parameters of these names.</summary>
    public static bool[] Named(Module module, IReadOnlyCollection<string>? names)
    {
        if (names is not { Count: > 0 } || ModuleHooks.SignatureOf(module) is not { } signature) return [];
        var types = signature.GetGenericArguments()[..^1];
        var forward = module.GetType().GetMethod("forward", types);
        return forward is null ? [] : [.. forward.GetParameters().Select(parameter => names.Contains(parameter.Name!))];
    }

    /// <param name="arguments">The arguments.</param>
    /// <param name="device">Where they go.</param>
    /// <param name="skipped">Which stay; may be shorter.</param>
    /// <param name="trees">Whether tensors inside of other things are looked for too.</param>
    public static object?[] Move(object?[] arguments, Device device, bool[] skipped, bool trees)
    {
        for (var i = 0; i < arguments.Length; i++)
        {
            if (i < skipped.Length && skipped[i]) continue;
            arguments[i] = arguments[i] is Tensor tensor ? Move(tensor, device) : trees ? Move(arguments[i], device) : arguments[i];
        }
        return arguments;
    }

    public static object? Move(object? value, Device device) => value is Tensor single ? Move(single, device) : TensorTree.Map(value, tensor => Move(tensor, device));

    private static Tensor Move(Tensor tensor, Device device) =>
        tensor.device_type == device.type && (tensor.device_index == device.index || device.index < 0) ? tensor : tensor.to(device);
}
