using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>The tokens of several texts, padded to one length: three int64 tensors of shape [texts, time] on the CPU.</summary>
/// <remarks>The tensors belong to the dispose scope in which they were made, or else to this batch.</remarks>
public sealed class TokenizedBatch : IDisposable
{
    internal TokenizedBatch(Tensor inputIds, Tensor attentionMask, Tensor tokenTypeIds) =>
        (InputIds, AttentionMask, TokenTypeIds) = (inputIds, attentionMask, tokenTypeIds);

    /// <summary>The number of each token; the pad token where a text has ended.</summary>
    public Tensor InputIds { get; }

    /// <summary>1 for tokens, 0 for padding.</summary>
    public Tensor AttentionMask { get; }

    /// <summary>Which of two texts a token belongs to; 0 for padding, and everywhere for models that do not tell.</summary>
    public Tensor TokenTypeIds { get; }

    /// <summary>These tokens as what a text model is called with; the tensors stay this batch's.</summary>
    /// <param name="labels">What should come out.</param>
    public ModelInputs ToInputs(Tensor? labels = null) =>
        new() { InputIds = InputIds, AttentionMask = AttentionMask, TokenTypeIds = TokenTypeIds, Labels = labels };

    /// <summary>Frees the three tensors.</summary>
    public void Dispose()
    {
        InputIds.Dispose();
        AttentionMask.Dispose();
        TokenTypeIds.Dispose();
    }
}
