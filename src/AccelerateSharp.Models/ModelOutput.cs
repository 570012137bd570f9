using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>What a model returns.</summary>
public sealed class ModelOutput
{
    private readonly Tensor? _logits;
    private readonly Tensor? _loss;
    private readonly Tensor? _hiddenState;
    private readonly Tensor? _pooled;

    internal ModelOutput(Tensor? logits = null, Tensor? loss = null, Tensor? hiddenState = null, Tensor? pooled = null) =>
        (_logits, _loss, _hiddenState, _pooled) = (logits, loss, hiddenState, pooled);

    /// <summary>Scores: [batch, time, vocabulary] of language models, [batch, classes] of classifiers.</summary>
    /// <exception cref="InvalidOperationException">A language model was given labels: its loss is computed without the logits of all tokens at once.</exception>
    public Tensor Logits => _logits ?? throw new InvalidOperationException("This output has no logits: a language model that is given labels returns its loss alone.");

    /// <summary>The mean loss over the labels, a scalar.</summary>
    /// <exception cref="InvalidOperationException">The model was given no labels.</exception>
    public Tensor Loss => _loss ?? throw new InvalidOperationException("This output has no loss: the model was called without labels.");

    /// <summary>What the last layer returns, [batch, time, hidden]; of models without a head.</summary>
    /// <exception cref="InvalidOperationException">The model has a head, and returned what that one computed.</exception>
    public Tensor LastHiddenState => _hiddenState ?? throw new InvalidOperationException("This output has no hidden state: the model has a head and returns what that one computes.");

    /// <summary>What stands for the whole text, [batch, hidden]; of encoders without a head.</summary>
    /// <exception cref="InvalidOperationException">The model has a head, or is no encoder.</exception>
    public Tensor PoolerOutput => _pooled ?? throw new InvalidOperationException("This output has no pooled state: only encoders without a head return one.");
}
