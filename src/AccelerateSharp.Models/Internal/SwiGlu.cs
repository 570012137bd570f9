using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Internal;

/// <summary><c>silu(gate) * up</c>.</summary>
internal static class SwiGlu
{
    public static Tensor Apply(Tensor gate, Tensor up)
    {
        using var activated = functional.silu(gate);
        return activated * up;
    }
}
