using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>The aliases that a model computes with during one forward, in place of its parameters.</summary>
internal sealed class ParameterSwap(BackwardErrors errors)
{
    private readonly List<(ParameterSlot Slot, Tensor Alias)> _swapped = [];

    /// <summary>Hangs aliases of some parameters on one autograd node and puts them in.</summary>
    /// <param name="parameters">Parameters whose gradients are awaited together.</param>
    /// <param name="onGradients">Called in backward when all of those gradients are complete.</param>
    public void In(IReadOnlyList<ParameterGradient> parameters, Action<GradientSlots> onGradients)
    {
        var leaves = parameters.Select(parameter => (Tensor)parameter.Parameter).ToList();
        // Out of the user's dispose scopes: the aliases live until the forward is over.
        var aliases = leaves.Select(leaf => leaf.detach().DetachFromDisposeScope()).ToList();
        AutogradNode.Attach(leaves, aliases, onGradients, errors);
        for (var i = 0; i < aliases.Count; i++)
        {
            _swapped.Add((parameters[i].Slot, aliases[i]));
            parameters[i].Slot.SwapIn(aliases[i]);
        }
    }

    /// <summary>Puts the parameters back. What autograd needs of the aliases, it holds itself.</summary>
    public void Restore()
    {
        foreach (var (slot, alias) in _swapped)
        {
            slot.SwapBack();
            alias.Dispose();
        }

        _swapped.Clear();
    }
}
