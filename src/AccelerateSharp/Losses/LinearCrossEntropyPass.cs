using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Kernels;
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
            var (targets, weights) = (_targets.narrow(0, start, length), rowWeights.narrow(0, start, length));
            var losses = Losses.narrow(0, start, length);
            var logits = Logits(hidden);
            var gradient = needs.Any ? empty(logits.shape, _head.Dtype, device) : null;
            if (!CrossEntropyKernel.TryRun(logits, targets, weights, _options.LabelSmoothing, losses, gradient))
            {
                gradient?.Dispose();
                gradient = null;
                var logProbabilities = logits.log_softmax(1);
                logits.Dispose();
                losses.copy_(LossesOf(logProbabilities, targets));
                if (needs.Any) gradient = Differentiate(targets, logProbabilities, weights);
            }

            logits.Dispose();
            losses.mul_(_counts.narrow(0, start, length));
            if (gradient is not null) AddGradients(hidden, gradient, start);
        }
    }

    private Tensor Logits(Tensor hidden)
    {
        var logits = WideProduct.Multiply(hidden, _weight.t(), _head.SumDtype);
        return _bias is null ? logits : logits.add_(_bias);
    }

    private Tensor LossesOf(Tensor logProbabilities, Tensor targets)
    {
        var losses = logProbabilities.gather(1, targets).squeeze(1).neg_();
        var smoothing = _options.LabelSmoothing;
        return smoothing == 0 ? losses : losses.mul_(1 - smoothing).sub_(logProbabilities.mean([1]).mul_(smoothing));
    }

    /// <summary>The gradient of the logits in the dtype of the products: probability minus target distribution, written over the logarithms.</summary>
    private Tensor Differentiate(Tensor targets, Tensor logProbabilities, Tensor rowWeights)
    {
        var smoothing = _options.LabelSmoothing;
        var gradient = logProbabilities.exp_();
        if (smoothing > 0) gradient.sub_(smoothing / _head.Vocabulary);
        gradient.scatter_add_(1, targets, full(targets.shape, smoothing - 1, gradient.dtype, gradient.device));
        if (_head.Dtype == gradient.dtype) return gradient.mul_(rowWeights);
        var narrow = empty(gradient.shape, _head.Dtype, gradient.device);
        _multiplyInto.Call(gradient, rowWeights, narrow);
        gradient.Dispose();
        return narrow;
    }

    private void AddGradients(Tensor hidden, Tensor gradient, long start)
    {
        if (HiddenGradient is not null) _productInto.Call(gradient, _weight, HiddenGradient.narrow(0, start, hidden.shape[0]));
        if (WeightGradient is not null) WideProduct.Accumulate(WeightGradient, gradient.t(), hidden);
        BiasGradient?.add_(gradient.sum([0L], false, _head.SumDtype));
    }
}
