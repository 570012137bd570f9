using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Internal;

/// <summary>ActivationFunctions by the names that configurations give them.</summary>
internal static class ActivationFunctions
{
    public static Tensor Apply(string name, Tensor input) => name switch
    {
        "gelu" => functional.gelu(input),
        "gelu_new" => functional.gelu(input, TorchSharp.Modules.GELU.Approximate.tanh),
        "relu" => functional.relu(input),
        _ => throw new ArgumentException($"There is no activation '{name}'.", nameof(name)),
    };
}
