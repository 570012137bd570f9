using TorchSharp.Modules;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp.Optimizers;

/// <summary>Knows which of TorchSharp's optimizers have a twin here that does the same in one pass.</summary>
internal static class FusedTwin
{
    /// <summary>Below this a step takes no time worth saving.</summary>
    private const long WorthwhileParameters = 1_000_000;

    private static int _said;

    /// <summary>What to tell the user, once per process; null where there is nothing to gain.</summary>
    public static string? Advise(Optimizer optimizer)
    {
        var (name, twin) = optimizer switch
        {
            AdamW => ("AdamW", nameof(FusedAdamW)),
            Adam => ("Adam", nameof(FusedAdam)),
            SGD => ("SGD", nameof(FusedSGD)),
            _ => ("", ""),
        };
        if (twin.Length == 0 || optimizer.parameters().Sum(parameter => parameter.numel()) < WorthwhileParameters) return null;
        return Interlocked.Exchange(ref _said, 1) == 0
            ? $"The optimizer {name} makes many passes over its memory for each step; {twin} takes the same arguments, computes the same numbers, makes one, and frees the gradients in zero_grad."
            : null;
    }
}
