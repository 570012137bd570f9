using static TorchSharp.torch;

namespace AccelerateSharp.Models.Generation;

/// <summary>Chooses the next token of each text from its scores.</summary>
internal static class TokenChoice
{
    /// <param name="logits">[batch, vocabulary].</param>
    /// <param name="options">How.</param>
    /// <returns>int64 [batch, 1].</returns>
    public static Tensor Next(Tensor logits, GenerationOptions options)
    {
        if (!options.DoSample) return logits.argmax(-1, keepdim: true);
        using var scope = NewDisposeScope();
        var scores = logits.to(ScalarType.Float32);
        if (options.Temperature != 1) scores = scores / options.Temperature;
        Tensor? indices = null;
        var vocabulary = scores.shape[1];
        if (options.TopK > 0 && options.TopK < vocabulary) (scores, indices) = scores.topk(options.TopK, -1);
        else if (options.TopP < 1) (scores, indices) = scores.sort(-1, descending: true);
        var probabilities = scores.softmax(-1);
        if (options.TopP < 1)
        {
            // A token stays while those before it, in descending order, do not have the probability yet: the first always does.
            var before = probabilities.cumsum(-1) - probabilities;
            probabilities = probabilities.masked_fill(before > options.TopP, 0);
        }
        // The way in which libtorch's multinomial draws one, without its checks, for which the host would wait.
        var choice = (probabilities / empty_like(probabilities).exponential_(1, options.Generator)).argmax(-1, keepdim: true);
        return (indices?.gather(-1, choice) ?? choice).MoveToOuterDisposeScope();
    }
}
