using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>A parameter that is to be updated now.</summary>
/// <param name="Parameter">The parameter; a complex one as a view of real numbers.</param>
/// <param name="Gradient">Its gradient, of the same shape.</param>
/// <param name="State">What the optimizer remembers of it.</param>
internal sealed record ParameterUpdate(Tensor Parameter, Tensor Gradient, ParameterState State);
