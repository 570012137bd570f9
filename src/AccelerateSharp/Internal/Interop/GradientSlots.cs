using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The gradients that reached a node: one per output of the node, in the order of the outputs.</summary>
/// <remarks>
/// Valid only inside the callback. The tensors belong to the callback's own dispose scope, like everything that is created in it:
/// call <see cref="Tensor.DetachFromDisposeScope"/> on what must live longer.
/// </remarks>
internal sealed class GradientSlots
{
    private readonly Tensor?[] _gradients;
    private readonly nint[] _passedOn;

    internal GradientSlots(Tensor?[] gradients, int inputs)
    {
        _gradients = gradients;
        _passedOn = new nint[inputs];
    }

    /// <summary>The number of outputs that the node was attached to.</summary>
    internal int Count => _gradients.Length;

    /// <summary>The gradient of output <paramref name="index"/>; null when nothing that needs a gradient used that output.</summary>
    internal Tensor? this[int index] => _gradients[index];

    /// <summary>Hands a gradient to the engine as the one of input <paramref name="index"/>, which adds it to the leaf's <c>.grad</c>.</summary>
    /// <remarks>
    /// The engine copies it: it can only take over the memory of a gradient that nobody else holds, and the native node holds what
    /// its callback returns. Whoever cares for that copy writes the leaf's <c>.grad</c> himself and passes nothing on.
    /// </remarks>
    internal void PassOn(int index, Tensor gradient)
    {
        TensorHandles.Release(_passedOn[index]);
        _passedOn[index] = TensorHandles.Duplicate(gradient.Handle);
    }

    /// <summary>Gives up ownership of the handles that were passed on; null when there are none.</summary>
    internal nint[]? TakePassedOn() => Array.TrueForAll(_passedOn, handle => handle == 0) ? null : _passedOn;
}
