using static TorchSharp.torch;

namespace AccelerateSharp.Losses;

/// <summary>Of which arguments of a linear head backward will want a gradient.</summary>
internal readonly record struct GradientNeeds(bool Hidden, bool Weight, bool Bias)
{
    public bool Any => Hidden || Weight || Bias;

    public static GradientNeeds Of(LinearHead head) => is_grad_enabled()
        ? new(head.Hidden.requires_grad, head.Weight.requires_grad, head.Bias?.requires_grad ?? false)
        : default;
}
