using System.Globalization;
using System.Text;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>The "normalizer" of a tokenizer.json.</summary>
internal static class TextNormalizers
{
    public static Normalizer Read(TokenizerNode node) => node.Type switch
    {
        "Sequence" => Chain([.. node.AllowOnly("normalizers").Items("normalizers").Select(Read)]),
        "BertNormalizer" => Bert(node.AllowOnly("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")),
        "NFC" => Form(node, UnicodeForm.C),
        "NFD" => Form(node, UnicodeForm.D),
        "NFKC" => Form(node, UnicodeForm.KC),
        "NFKD" => Form(node, UnicodeForm.KD),
        "Lowercase" => Lowercase,
        "StripAccents" => text => Filter(text, rune => !RuneClasses.IsMark(rune)),
        "Strip" => Strip(node.AllowOnly("strip_left", "strip_right")),
        "Prepend" => Prepend(node.AllowOnly("prepend").Text("prepend")),
        "Replace" => Replace(node.AllowOnly("pattern", "content")),
        var type => throw node.Unsupported($"the normalizer \"{type}\" is not supported"),
    };

    /// <summary>Lower case, character by character: no final sigma, as the Hub's tokenizers do it.</summary>
    public static string Lowercase(string text) =>
        // The dotted capital I is the one character whose lower case is two.
        string.Join("i\u0307", text.Split('\u0130').Select(part => part.ToLowerInvariant()));

    /// <summary>The search of "Replace", which the decoder of that name shares.</summary>
    public static Normalizer Replace(TokenizerNode node)
    {
        var (pattern, content) = (node.Required("pattern").AllowOnly("String", "Regex"), node.Text("content"));
        if (pattern.OptionalText("String") is { } literal)
            return literal.Length == 0 ? throw pattern.Malformed("an empty text cannot be replaced") : text => text.Replace(literal, content, StringComparison.Ordinal);
        var regex = HubRegex.Compile(pattern.Text("Regex"), pattern);
        return text => string.Concat(regex.Cut(text).Select(cut => cut.IsMatch ? content : text[cut.Start..cut.End]));
    }

    private static Normalizer Chain(Normalizer[] parts) => text => parts.Aggregate(text, (current, part) => part(current));

    private static Normalizer Form(TokenizerNode node, UnicodeForm form)
    {
        node.AllowOnly();
        return text => UnicodeNormalization.Apply(text, form);
    }

    private static Normalizer Bert(TokenizerNode node)
    {
        var (clean, ideographs, lower) = (node.Flag("clean_text", true), node.Flag("handle_chinese_chars", true), node.Flag("lowercase", true));
        var accents = node.Flag("strip_accents", lower);
        return text =>
        {
            if (clean || ideographs) text = CleanAndSpace(text, clean, ideographs);
            if (accents) text = Filter(UnicodeNormalization.Apply(text, UnicodeForm.D), rune => Rune.GetUnicodeCategory(rune) != UnicodeCategory.NonSpacingMark);
            return lower ? Lowercase(text) : text;
        };
    }

    private static string CleanAndSpace(string text, bool clean, bool ideographs)
    {
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            if (clean && (rune.Value is 0 or 0xFFFD || RuneClasses.IsControl(rune))) continue;
            if (clean && Rune.IsWhiteSpace(rune)) result.Append(' ');
            else if (ideographs && RuneClasses.IsIdeograph(rune)) result.Append(' ').Append(rune.ToString()).Append(' ');
            else result.Append(rune.ToString());
        }
        return result.ToString();
    }

    private static string Filter(string text, Predicate<Rune> keep)
    {
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
            if (keep(rune)) result.Append(rune.ToString());
        return result.ToString();
    }

    private static Normalizer Strip(TokenizerNode node)
    {
        var (left, right) = (node.Flag("strip_left", false), node.Flag("strip_right", false));
        return text => (left, right) switch
        {
            (true, true) => text.Trim(),
            (true, false) => text.TrimStart(),
            (false, true) => text.TrimEnd(),
            _ => text,
        };
    }

    private static Normalizer Prepend(string prefix) => text => text.Length == 0 ? text : prefix + text;
}
