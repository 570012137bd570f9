using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>Loss scale and overflow flag of one step, wherever the gradients are. See <see cref="IScaledOptimizer"/>.</summary>
internal readonly record struct StepScale(Tensor? GradScale, Tensor? FoundInf)
{
    public Tensor? GradScaleOn(Device device) => GradScale?.to(device);

    public Tensor? FoundInfOn(Device device) => FoundInf?.to(device);
}
