namespace AccelerateSharp.Models.Tokenizers;

/// <summary>What becomes of the stretches that a splitting pattern matches.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>Joins or drops cuts as a tokenizer.json's "behavior" says.</summary>
internal static class Splitting
{
    public static IEnumerable<Cut> Apply(IEnumerable<Cut> cuts, SplitBehavior behavior) => behavior switch
    {
        SplitBehavior.Removed => cuts.Where(cut => !cut.IsMatch),
        SplitBehavior.Isolated => cuts,
        SplitBehavior.MergedWithPrevious => Joined(cuts, (previous, cut) => cut.IsMatch && !previous.IsMatch),
        SplitBehavior.MergedWithNext => Joined(cuts, (previous, cut) => previous.IsMatch && !cut.IsMatch),
        SplitBehavior.Contiguous => Joined(cuts, (previous, cut) => previous.IsMatch == cut.IsMatch),
        _ => throw new ArgumentOutOfRangeException(nameof(behavior)),
    };

    /// <summary>Joins a cut with the one before where the rule says so; the rule sees both as they were.</summary>
    private static IEnumerable<Cut> Joined(IEnumerable<Cut> cuts, Func<Cut, Cut, bool> belongTogether)
    {
        Cut? previous = null;
        var start = 0;
        foreach (var cut in cuts)
        {
            if (previous is { } last && !belongTogether(last, cut))
            {
                yield return new Cut(start, last.End, false);
                start = cut.Start;
            }
            previous = cut;
        }
        if (previous is { } end) yield return new Cut(start, end.End, false);
    }
}
