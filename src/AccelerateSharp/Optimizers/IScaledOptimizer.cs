using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>An optimizer whose kernel divides the gradients by a loss scale, and leaves everything as it is after an overflow, on the device itself.</summary>
/// <remarks>A gradient scaler sets both before <c>step</c> and takes them away after it; so no step waits for the device.</remarks>
internal interface IScaledOptimizer
{
    /// <summary>What the gradients are still multiplied with: a float32 scalar on their device; null when they are unscaled.</summary>
    Tensor? GradScale { get; set; }

    /// <summary>1 after an overflow, else 0: a float32 scalar on the gradients' device; null when none can happen.</summary>
    Tensor? FoundInf { get; set; }
}
