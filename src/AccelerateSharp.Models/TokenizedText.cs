namespace AccelerateSharp;

/// <summary>The tokens of one text, or of a pair of texts.</summary>
/// <param name="Ids">The number of each token.</param>
/// <param name="TypeIds">Which of two texts each token belongs to, as the model counts: 0 or 1, for RoBERTa always 0.</param>
public sealed record TokenizedText(IReadOnlyList<int> Ids, IReadOnlyList<int> TypeIds);
