using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Internal;

/// <summary><c>silu(gate) * up</c>, which keeps only its two arguments for backward: <c>silu(gate)</c> is computed again there.</summary>
internal static class SwiGlu
{
    private static readonly TorchOperator _siluBackward = TorchOperator.Get("aten::silu_backward(Tensor grad_output, Tensor self) -> Tensor");

    public static Tensor Apply(Tensor gate, Tensor up)
    {
        Tensor product;
        using (no_grad()) product = GatedKernel.TryMultiply(gate, up) ?? functional.silu(gate).mul_(up);
        if (!is_grad_enabled() || !(gate.requires_grad || up.requires_grad)) return product;
        var saved = new SavedTensors();
        var (savedGate, savedUp) = (gate.detach(), up.detach());
        saved.Keep([savedGate, savedUp]);
        AutogradNode.Attach([gate, up], [product], gradients => Differentiate(savedGate, savedUp, saved, gradients), saved: saved);
        return product;
    }

    private static void Differentiate(Tensor gate, Tensor up, SavedTensors saved, GradientSlots gradients)
    {
        if (saved.IsDisposed) throw new InvalidOperationException("Backward ran a second time through a model whose activations were freed: use retain_graph the first time, or compute the forward again.");
        if (gradients[0] is not { } gradient) return;
        if (GatedKernel.TryDifferentiate(gradient, gate, up) is var (ofGate, ofUp))
        {
            gradients.PassOn(0, ofGate);
            gradients.PassOn(1, ofUp);
        }
        else
        {
            using (var activated = functional.silu(gate)) gradients.PassOn(1, gradient * activated);
            using (var ofActivated = gradient * up) gradients.PassOn(0, _siluBackward.CallForTensor(ofActivated, gate));
        }

        if (!AutogradNode.KeepsGraph) saved.Dispose();
    }
}
