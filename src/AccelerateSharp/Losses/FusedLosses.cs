using AccelerateSharp.Losses;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>Losses that never hold what they need only for a moment.</summary>
public static class FusedLosses
{
    /// <summary>Cross entropy of a language model, with the head's matrix product inside: all logits never exist at once.</summary>
    /// <remarks>
    /// <para>
    /// Equal to <c>cross_entropy(linear(hidden, weight, bias), targets)</c>. Tokens are taken in chunks; where a gradient is needed,
    /// each chunk's is computed right after its loss, so that what waits for backward is as large as <paramref name="hidden"/>
    /// and <paramref name="weight"/>. With <see cref="Reduction.None"/> the gradients depend on what comes later, and backward
    /// computes the logits again.
    /// </para>
    /// <para>
    /// Under autocast the products are in its dtype; softmax and loss are in float32 always (float64 for float64), and so are the
    /// sums of the weight's gradient. Backward runs once, unless it is told to keep the graph; gradients of gradients do not exist.
    /// </para>
    /// <para>
    /// Call it inside of the model's forward: there a sharded weight is whole, and a weight that is shared with the embedding
    /// gets one gradient.
    /// </para>
    /// </remarks>
    /// <param name="hidden">What goes into the head: [..., features].</param>
    /// <param name="weight">The head's weight: [vocabulary, features].</param>
    /// <param name="targets">The right class of each token, int64, of the shape of <paramref name="hidden"/> without its last dimension.</param>
    /// <param name="bias">The head's bias: [vocabulary]; null for none.</param>
    /// <param name="ignoreIndex">Tokens with this target count for nothing.</param>
    /// <param name="labelSmoothing">Share of the target's probability that is spread over all classes, in [0, 1].</param>
    /// <param name="reduction">Mean over the tokens that count (the default), their sum, or the loss of each token.</param>
    /// <param name="chunkSize">Tokens per chunk; null: as many as need about half a gigabyte.</param>
    /// <returns>The loss, float32 (float64 for float64): a scalar, or with <see cref="Reduction.None"/> of the targets' shape. As in PyTorch, the mean over no token is NaN.</returns>
    /// <exception cref="ArgumentException">Shapes, dtypes or devices do not fit.</exception>
    public static Tensor LinearCrossEntropy(
        Tensor hidden, Tensor weight, Tensor targets, Tensor? bias = null, long ignoreIndex = -100, double labelSmoothing = 0,
        Reduction reduction = Reduction.Mean, int? chunkSize = null)
    {
        ArgumentNullException.ThrowIfNull(hidden);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(targets);
        var options = new CrossEntropyOptions(ignoreIndex, labelSmoothing, chunkSize);
        return LinearCrossEntropyNode.Run(new LinearHead(hidden, weight, bias, targets), options, reduction);
    }
}
