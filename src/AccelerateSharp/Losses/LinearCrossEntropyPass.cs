using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Losses;

/// <summary>One way over all tokens, chunk by chunk: their losses, and the gradients where they are asked for.</summary>
/// <remarks>
/// Runs without gradient mode and outside of autocast. The gradients are those of the sum of the losses, or of a weighted sum; a
/// mean's division waits for the caller. So no half-precision number is smaller than it must be.
/// </remarks>
internal sealed class LinearCrossEntropyPass
{
    private static readonly TorchOperator _multiplyInto = TorchOperator.Get("aten::mul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)");
    private static readonly TorchOperator _productInto = TorchOperator.Get("aten::mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)");

    private readonly LinearHead _head;
    private readonly CrossEntropyOptions _options;
    private readonly Tensor _hidden;
    private readonly Tensor _weight;
    private readonly Tensor? _bias;
    private readonly Tensor _targets;
    private readonly Tensor _counts;

    /// <summary>Everything it makes lies in the current dispose scope.</summary>
    public LinearCrossEntropyPass(LinearHead head, CrossEntropyOptions options)
    {
        (_head, _options) = (head, options);
        _hidden = head.Hidden.reshape(head.Tokens, head.Weight.shape[1]).to(head.Dtype);
        _weight = head.Weight.to(head.Dtype);
        _bias = head.Bias?.to(head.SumDtype);
        var targets = head.Targets.reshape(head.Tokens);
        _counts = targets.ne(options.IgnoreIndex);
        _targets = targets.where(_counts, zeros_like(targets)).unsqueeze(1);
    }

    /// <summary>The loss of each token; zero for those that do not count.</summary>
    public Tensor Losses { get; private set; } = null!;

    /// <summary>How many tokens count, a scalar on the device.</summary>
    public Tensor Count => _counts.sum(_head.SumDtype);

    /// <summary>[tokens, features], in the dtype of the products.</summary>
    public Tensor? HiddenGradient { get; private set; }

    /// <summary>[vocabulary, features], in float32 (float64).</summary>
    public Tensor? WeightGradient { get; private set; }

    /// <summary>[vocabulary], in float32 (float64).</summary>
    public Tensor? BiasGradient { get; private set; }

    /// <param name="needs">Which gradients.</param>
    /// <param name="upstream">What each token's loss counts in the gradients; null: one.</param>
    public void Run(GradientNeeds needs, Tensor? upstream = null)
    {
        var (dtype, device) = (_head.SumDtype, _hidden.device);
        Losses = empty(_head.Tokens, dtype, device);
        if (needs.Hidden) HiddenGradient = empty_like(_hidden);
        if (needs.Weight) WeightGradient = zeros(_weight.shape, dtype, device);
        if (needs.Bias) BiasGradient = zeros(_head.Vocabulary, dtype, device);
        var rowWeights = _counts.to(dtype);
        if (upstream is not null) rowWeights = rowWeights * upstream.reshape(_head.Tokens).to(dtype);
        rowWeights = rowWeights.unsqueeze(1);
        foreach (var (start, length) in _options.Chunks(_head.Tokens, _head.Vocabulary))
        {
            using var chunk = NewDisposeScope();
            var hidden = _hidden.narrow(0, start, length);
            var targets = _targets.narrow(0, start, length);
            var logProbabilities = LogProbabilities(hidden);
            Losses.narrow(0, start, length).copy_(LossesOf(logProbabilities, targets).mul_(_counts.narrow(0, start, length)));
            if (needs.Any) Differentiate(hidden, targets, logProbabilities, rowWeights.narrow(0, start, length), start);
        }
    }

    private Tensor LogProbabilities(Tensor hidden)
    {
        using var logits = WideProduct.Multiply(hidden, _weight.t(), _head.SumDtype);
        if (_bias is not null) logits.add_(_bias);
        return logits.log_softmax(1);
    }

    private Tensor LossesOf(Tensor logProbabilities, Tensor targets)
    {
        var losses = logProbabilities.gather(1, targets).squeeze(1).neg_();
        var smoothing = _options.LabelSmoothing;
        return smoothing == 0 ? losses : losses.mul_(1 - smoothing).sub_(logProbabilities.mean([1]).mul_(smoothing));
    }

    private void Differentiate(Tensor hidden, Tensor targets, Tensor logProbabilities, Tensor rowWeights, long start)
    {
        var smoothing = _options.LabelSmoothing;
        // Of the logits: probability minus target distribution, written over the logarithms.
        var gradient = logProbabilities.exp_();
        if (smoothing > 0) gradient.sub_(smoothing / _head.Vocabulary);
        gradient.scatter_add_(1, targets, full(targets.shape, smoothing - 1, gradient.dtype, gradient.device));
        if (_head.Dtype == gradient.dtype)
        {
            gradient.mul_(rowWeights);
        }
        else
        {
            var narrow = empty(gradient.shape, _head.Dtype, gradient.device);
            _multiplyInto.Call(gradient, rowWeights, narrow);
            gradient.Dispose();
            gradient = narrow;
        }

        if (HiddenGradient is not null) _productInto.Call(gradient, _weight, HiddenGradient.narrow(0, start, hidden.shape[0]));
        if (WeightGradient is not null) WideProduct.Accumulate(WeightGradient, gradient.t(), hidden);
        BiasGradient?.add_(gradient.sum([0L], false, _head.SumDtype));
    }
}
