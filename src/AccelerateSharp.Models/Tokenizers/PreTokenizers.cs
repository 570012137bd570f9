using System.Text;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>The "pre_tokenizer" of a tokenizer.json.</summary>
internal static class PreTokenizers
{
    private const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    public static PreTokenizer Read(TokenizerNode node) => node.Type switch
    {
        "Sequence" => Chain([.. node.AllowOnly("pretokenizers").Items("pretokenizers").Select(Read)]),
        "BertPreTokenizer" => Chain([OnRunes(Rune.IsWhiteSpace, SplitBehavior.Removed), OnRunes(RuneClasses.IsPunctuation, SplitBehavior.Isolated)]),
        "ByteLevel" => ByteLevel(node.AllowOnly("add_prefix_space", "trim_offsets", "use_regex")),
        "Split" => Split(node.AllowOnly("pattern", "behavior", "invert")),
        "Digits" => OnRunes(RuneClasses.IsNumeric, node.AllowOnly("individual_digits").Flag("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous),
        "Punctuation" => OnRunes(RuneClasses.IsPunctuation, node.AllowOnly("behavior").Child("behavior") is { } behavior ? Behavior(behavior) : SplitBehavior.Isolated),
        "Whitespace" => OnRegex($@"[{RuneClasses.Word}]+|[^{RuneClasses.Word}\s]+", node.AllowOnly(), SplitBehavior.Removed, invert: true),
        "WhitespaceSplit" => OnRunes(Rune.IsWhiteSpace, SplitBehavior.Removed),
        "Metaspace" => Metaspace(node),
        var type => throw node.Unsupported($"the pre-tokenizer \"{type}\" is not supported"),
    };

    /// <summary>The settings of a Metaspace, which a decoder of that name shares.</summary>
    public static (char Replacement, string Scheme, bool Split) MetaspaceSettings(TokenizerNode node)
    {
        node.AllowOnly("replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep");
        var replacement = node.Text("replacement");
        if (replacement.Length != 1) throw node.Malformed("\"replacement\" is to be one character");
        // Files from before "prepend_scheme" say the same with "add_prefix_space".
        var scheme = node.OptionalText("prepend_scheme") ?? (node.Flag("add_prefix_space", true) ? "always" : "never");
        if (scheme is not ("always" or "first" or "never")) throw node.Unsupported($"the prepend_scheme \"{scheme}\" is not supported");
        return (replacement[0], scheme, node.Flag("split", true));
    }

    private static PreTokenizer Chain(PreTokenizer[] parts) =>
        piece => parts.Aggregate<PreTokenizer, IEnumerable<Piece>>([piece], (pieces, part) => pieces.SelectMany(p => part(p)));

    private static PreTokenizer ByteLevel(TokenizerNode node)
    {
        var prefix = node.Flag("add_prefix_space", true);
        var split = node.Flag("use_regex", true) ? OnRegex(Gpt2Pattern, node, SplitBehavior.Isolated, invert: false) : piece => [piece];
        return piece =>
        {
            if (prefix && piece.Text.Length > 0 && piece.Text[0] != ' ') piece = piece with { Text = ' ' + piece.Text };
            return split(piece).Select(p => p with { Text = ByteLevelAlphabet.Encode(p.Text) });
        };
    }

    private static PreTokenizer Split(TokenizerNode node)
    {
        var pattern = node.Required("pattern").AllowOnly("String", "Regex");
        var regex = pattern.OptionalText("String") is { } literal ? System.Text.RegularExpressions.Regex.Escape(literal) : pattern.Text("Regex");
        return OnRegex(regex, pattern, Behavior(node.Required("behavior")), node.Flag("invert", false));
    }

    private static SplitBehavior Behavior(TokenizerNode node) => node.AsText() switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        var behavior => throw node.Unsupported($"the split behavior \"{behavior}\" is not supported"),
    };

    private static PreTokenizer Metaspace(TokenizerNode node)
    {
        var (replacement, scheme, split) = MetaspaceSettings(node);
        return piece =>
        {
            var text = piece.Text.Replace(' ', replacement);
            if (text.Length > 0 && text[0] != replacement && (scheme == "always" || (scheme == "first" && piece.AtStart))) text = replacement + text;
            piece = piece with { Text = text };
            return split ? Apply(piece, OneByOne(text, rune => rune.Value == replacement), SplitBehavior.MergedWithNext) : [piece];
        };
    }

    private static PreTokenizer OnRunes(Predicate<Rune> isDelimiter, SplitBehavior behavior) =>
        piece => Apply(piece, OneByOne(piece.Text, isDelimiter), behavior);

    private static PreTokenizer OnRegex(string pattern, TokenizerNode node, SplitBehavior behavior, bool invert)
    {
        var regex = HubRegex.Compile(pattern, node);
        return piece => Apply(piece, regex.Cut(piece.Text).Select(cut => cut with { IsMatch = cut.IsMatch != invert }), behavior);
    }

    private static IEnumerable<Piece> Apply(Piece piece, IEnumerable<Cut> cuts, SplitBehavior behavior) =>
        Splitting.Apply(cuts, behavior).Select(cut => new Piece(piece.Text[cut.Start..cut.End], piece.AtStart && cut.Start == 0));

    /// <summary>Each character of the class as a match by itself, and what lies between.</summary>
    private static IEnumerable<Cut> OneByOne(string text, Predicate<Rune> isDelimiter)
    {
        var (done, at) = (0, 0);
        foreach (var rune in text.EnumerateRunes())
        {
            var end = at + rune.Utf16SequenceLength;
            if (isDelimiter(rune))
            {
                if (done < at) yield return new Cut(done, at, false);
                yield return new Cut(at, end, true);
                done = end;
            }
            at = end;
        }
        if (done < text.Length) yield return new Cut(done, text.Length, false);
    }
}
