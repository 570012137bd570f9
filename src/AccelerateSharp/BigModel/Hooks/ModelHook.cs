using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Runs around the <c>call</c> of a module, and may replace its arguments and its result.</summary>
/// <remarks>TorchSharp runs hooks for <c>call</c>, not for <c>forward</c>: who calls <c>forward</c> himself passes them by.</remarks>
/// <param name="noGrad">Whether the module computes without recording for backward.</param>
public abstract class ModelHook(bool noGrad = false)
{
    /// <summary>Whether the module computes without recording for backward.</summary>
    public bool NoGrad { get; } = noGrad;

    /// <summary>When the hook is added to a module.</summary>
    public virtual void InitHook(Module module)
    {
    }

    /// <summary>Before the module computes.</summary>
    /// <returns>The arguments that it is called with: the same ones, or others of the same types.</returns>
    public virtual object?[] PreForward(Module module, object?[] arguments) => arguments;

    /// <summary>After the module has computed.</summary>
    /// <returns>The result that the caller gets.</returns>
    public virtual object? PostForward(Module module, object? result) => result;

    /// <summary>In place of <see cref="PostForward"/> where the forward has thrown: puts back what <see cref="PreForward"/> changed. Must not throw.</summary>
    public virtual void AbandonForward(Module module)
    {
    }

    /// <summary>When the hook is taken off again.</summary>
    public virtual void DetachHook(Module module)
    {
    }
}
