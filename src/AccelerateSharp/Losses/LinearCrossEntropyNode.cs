using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Losses;

/// <summary>Puts a <see cref="LinearCrossEntropyPass"/> behind an autograd node.</summary>
/// <remarks>
/// The way of Liger Kernel's fused linear cross entropy (Hsu et al. 2024): a mean's or a sum's gradients are one number away from
/// those of the forward, so they are computed there, from logits that are at hand, with three matrix products in place of four.
/// </remarks>
internal static class LinearCrossEntropyNode
{
    public static Tensor Run(LinearHead head, CrossEntropyOptions options, Reduction reduction)
    {
        // A backward pass that nobody of us has started may have left its error behind.
        BackwardErrors.Shared.ThrowPending();
        var needs = GradientNeeds.Of(head);
        var again = reduction == Reduction.None;
        using var scope = NewDisposeScope();
        Tensor loss;
        SavedTensors saved = new();
        Action<GradientSlots> onGradients;
        using (no_grad())
        using (Autocast.Enter(head.Hidden.device_type, head.Dtype, enabled: false))
        {
            var pass = new LinearCrossEntropyPass(head, options);
            pass.Run(again ? default : needs);
            loss = reduction switch
            {
                Reduction.None => pass.Losses.reshape(head.Targets.shape),
                Reduction.Sum => pass.Losses.sum(),
                _ => pass.Losses.sum() / pass.Count,
            };
            if (again)
            {
                var kept = head.Detached();
                saved.Keep(kept.Tensors);
                onGradients = slots => ComputeAgain(kept, options, needs, slots);
            }
            else
            {
                // A mean over no token is NaN, its gradients are zero: as in PyTorch.
                var divisor = reduction == Reduction.Mean ? pass.Count.clamp_(min: 1) : null;
                Tensor?[] gradients = [pass.HiddenGradient?.reshape(head.Hidden.shape), pass.WeightGradient, pass.BiasGradient];
                saved.Keep(gradients.Append(divisor).OfType<Tensor>());
                // The arguments themselves may be disposed by then.
                ScalarType[] dtypes = [head.Hidden.dtype, head.Weight.dtype, head.Bias?.dtype ?? head.SumDtype];
                onGradients = slots => PassOnScaled(gradients, dtypes, divisor, saved, slots);
            }
        }

        Tensor[] inputs = head.Bias is null ? [head.Hidden, head.Weight] : [head.Hidden, head.Weight, head.Bias];
        if (!AutogradNode.Attach(inputs, [loss], onGradients, saved: saved)) saved.Dispose();
        return loss.MoveToOuterDisposeScope();
    }

    private static void PassOnScaled(Tensor?[] gradients, ScalarType[] dtypes, Tensor? divisor, SavedTensors saved, GradientSlots slots)
    {
        if (saved.IsDisposed)
            throw new InvalidOperationException("LinearCrossEntropy: backward ran twice over one loss; its gradients were given away the first time. Use retain_graph then, or compute the loss again.");
        using var noGrad = no_grad();
        var factor = slots[0]!;
        if (divisor is not null) factor = factor / divisor;
        for (var i = 0; i < gradients.Length; i++)
            if (gradients[i] is { } gradient) slots.PassOn(i, (AutogradNode.KeepsGraph ? gradient * factor : gradient.mul_(factor)).to(dtypes[i]));
        if (!AutogradNode.KeepsGraph) saved.Dispose();
    }

    private static void ComputeAgain(LinearHead head, CrossEntropyOptions options, GradientNeeds needs, GradientSlots slots)
    {
        using var noGrad = no_grad();
        using var autocast = Autocast.Enter(head.Hidden.device_type, head.Dtype, enabled: false);
        var pass = new LinearCrossEntropyPass(head, options);
        pass.Run(needs, slots[0]);
        if (pass.HiddenGradient is { } hidden) slots.PassOn(0, hidden.reshape(head.Hidden.shape).to(head.Hidden.dtype));
        if (pass.WeightGradient is { } weight) slots.PassOn(1, weight.to(head.Weight.dtype));
        if (pass.BiasGradient is { } bias) slots.PassOn(2, bias.to(head.Bias!.dtype));
    }
}
