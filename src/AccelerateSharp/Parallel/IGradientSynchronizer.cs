using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>Brings the gradients of one model together over the ranks, during and after each backward.</summary>
internal interface IGradientSynchronizer : IDisposable
{
    /// <summary>The model whose gradients these are.</summary>
    Module Model { get; }

    /// <summary>Before a backward pass; <paramref name="synchronize"/> says whether it ends an accumulation window.</summary>
    void BeforeBackward(bool synchronize);

    /// <summary>After a backward pass: finishes what is left and shows or hides the gradients.</summary>
    /// <param name="hide">Keep the gradients from the optimizer: the window that they accumulate for is not over.</param>
    void AfterBackward(bool hide);

    /// <summary>After a backward pass that failed: nothing half-reduced is left in flight or in sight.</summary>
    void AbandonBackward();
}
