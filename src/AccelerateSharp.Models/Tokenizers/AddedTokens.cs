using System.Text;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>A token that stands beside the model's own vocabulary or marks one of its entries as special.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Content">Its text.</param>
/// <param name="IsSpecial">Left out by a decoder that skips special tokens.</param>
/// <param name="IsNormalized">Looked for in the normalized text, in its own normalized form.</param>
/// <param name="StripsLeft">Takes the white space before it along.</param>
/// <param name="StripsRight">Takes the white space after it along.</param>
/// <param name="IsSingleWord">Found only where no letter or digit touches it.</param>
internal sealed record AddedToken(
    int Id, string Content, bool IsSpecial, bool IsNormalized, bool StripsLeft = false, bool StripsRight = false, bool IsSingleWord = false);

/// <summary>Finds added tokens in a text: the leftmost, and of those the longest.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<string, AddedToken> _byContent = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> _byId = [];
    private readonly Matcher? _raw;
    private readonly Matcher? _normalized;

    public AddedTokens(IEnumerable<AddedToken> tokens, Normalizer? normalizer)
    {
        foreach (var token in tokens.Where(t => t.Content.Length > 0))
        {
            _byContent[token.Content] = token;
            _byId[token.Id] = token;
        }
        _raw = Matcher.Of(_byContent.Values.Where(t => !t.IsNormalized).Select(t => (t.Content, t)));
        _normalized = Matcher.Of(_byContent.Values.Where(t => t.IsNormalized).Select(t => (normalizer?.Invoke(t.Content) ?? t.Content, t)));
    }

    public IReadOnlyCollection<AddedToken> All => _byId.Values;

    public AddedToken? Find(string content) => _byContent.GetValueOrDefault(content);

    public AddedToken? Find(int id) => _byId.GetValueOrDefault(id);

    /// <summary>The text in stretches: an added token by its id, or normalized text for the model.</summary>
    public IEnumerable<(Piece Text, int? Id)> Split(string text, Normalizer? normalizer)
    {
        foreach (var (raw, atStart, id) in Cut(_raw, text, true))
        {
            if (id is not null)
            {
                yield return (default, id);
                continue;
            }
            var normalized = normalizer is null ? raw : normalizer(raw);
            foreach (var (piece, first, inner) in Cut(_normalized, normalized, atStart)) yield return (new Piece(piece, first), inner);
        }
    }

    private static IEnumerable<(string Text, bool AtStart, int? Id)> Cut(Matcher? matcher, string text, bool atStart)
    {
        var done = 0;
        if (matcher is not null)
            foreach (var (start, end, id) in matcher.Matches(text))
            {
                if (done < start) yield return (text[done..start], atStart && done == 0, null);
                yield return ("", false, id);
                done = end;
            }
        if (done < text.Length) yield return (text[done..], atStart && done == 0, null);
    }

    private sealed class Matcher(Regex regex, Dictionary<string, AddedToken> tokens)
    {
        public static Matcher? Of(IEnumerable<(string Form, AddedToken Token)> forms)
        {
            var tokens = forms.Where(f => f.Form.Length > 0).ToDictionary(f => f.Form, f => f.Token, StringComparer.Ordinal);
            if (tokens.Count == 0) return null;
            // An alternation takes the first that matches, so the longest stands first.
            var pattern = string.Join('|', tokens.Keys.OrderByDescending(form => form.Length).Select(Regex.Escape));
            return new Matcher(new Regex(pattern, RegexOptions.CultureInvariant), tokens);
        }

        public IEnumerable<(int Start, int End, int Id)> Matches(string text)
        {
            var done = 0;
            foreach (Match match in regex.Matches(text))
            {
                var token = tokens[match.Value];
                var (start, end) = (match.Index, match.Index + match.Length);
                if (token.IsSingleWord && (WordEndsAt(text, start) || WordStartsAt(text, end))) continue;
                if (token.StripsLeft)
                    while (start > done && char.IsWhiteSpace(text[start - 1])) start--;
                if (token.StripsRight)
                    while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
                yield return (start, end, token.Id);
                done = end;
            }
        }

        private static bool WordEndsAt(string text, int end) =>
            Rune.DecodeLastFromUtf16(text.AsSpan(0, end), out var rune, out _) == System.Buffers.OperationStatus.Done && RuneClasses.IsWord(rune);

        private static bool WordStartsAt(string text, int start) =>
            Rune.DecodeFromUtf16(text.AsSpan(start), out var rune, out _) == System.Buffers.OperationStatus.Done && RuneClasses.IsWord(rune);
    }
}
