using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>How a language model continues a text.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most tokens that are added; 20 by default.</summary>
    public int MaxNewTokens { get; init; } = 20;

    /// <summary>Whether tokens are drawn by their probability; by default the most probable one is taken.</summary>
    public bool DoSample { get; init; }

    /// <summary>Scores are divided by it before one is drawn: below 1 the probable becomes more so.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only so many of the most probable tokens are drawn from; 50 by default, 0 for all.</summary>
    public int TopK { get; init; } = 50;

    /// <summary>Only the most probable tokens that together have this probability are drawn from; 1, the default, for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Tokens that end a text; by default those of the model's configuration, none where the list is empty.</summary>
    public IReadOnlyList<long>? EosTokenIds { get; init; }

    /// <summary>What follows the end of a text that is shorter than others in the batch; by default the configuration's, else the first end token.</summary>
    public long? PadTokenId { get; init; }

    /// <summary>Draws the random numbers, on the device of the model's output: with the same seed the same text. By default the device's own.</summary>
    public Generator? Generator { get; init; }

    /// <summary>
    /// Called for each step with the new tokens, int64 [batch] on the CPU, valid during the call; false ends the generation. Without one
    /// the host does not wait for the device at every token.
    /// </summary>
    public Func<Tensor, bool>? OnToken { get; init; }

    /// <exception cref="ArgumentOutOfRangeException">A setting is out of its range; the message names it.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(MaxNewTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(TopK);
        if (!(Temperature > 0)) throw new ArgumentOutOfRangeException(nameof(Temperature), Temperature, "Temperature must be above 0; for the most probable token leave DoSample off.");
        if (!(TopP is > 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(TopP), TopP, "TopP must be above 0 and at most 1.");
    }
}
