using System.Globalization;
using Microsoft.ML.Tokenizers;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>Byte pair encoding: the merges are Microsoft.ML.Tokenizers'; byte fallback, "ignore_merges" and long texts are ours.</summary>
internal sealed class BpeModel : ITokenModel
{
    private const char WordStart = '\u2581';

    private readonly Dictionary<string, int> _vocabulary;
    private readonly BpeTokenizer _merger;
    private readonly int[]? _bytes;
    private readonly bool _ignoreMerges;
    private readonly bool _cutsAtWordStart;

    /// <param name="vocabulary">Tokens and their ids.</param>
    /// <param name="merges">"left right", the first to be merged first.</param>
    /// <param name="options">The rest of the file's "model".</param>
    /// <param name="node">Where it stands, for complaints.</param>
    public BpeModel(Dictionary<string, int> vocabulary, IReadOnlyList<string> merges, BpeSettings options, TokenizerNode node)
    {
        _vocabulary = vocabulary;
        _ignoreMerges = options.IgnoreMerges;
        if (options.ByteFallback) _bytes = ByteTokens(vocabulary, merges, options, node);
        // The library takes a time that grows with the square of a piece. Where no token goes across the start of a word, nothing changes
        // when the piece is cut there.
        _cutsAtWordStart = vocabulary.ContainsKey(WordStart.ToString()) && !vocabulary.Keys.Any(token => NextWordStart(token, 0) < token.Length);
        try
        {
            _merger = BpeTokenizer.Create(new BpeOptions(vocabulary)
            {
                Merges = merges,
                UnknownToken = options.UnknownToken,
                FuseUnknownTokens = options.FuseUnknown,
                ContinuingSubwordPrefix = options.ContinuingSubwordPrefix,
                EndOfWordSuffix = options.EndOfWordSuffix,
            });
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            throw node.Malformed($"vocabulary and merges do not fit together ({e.Message.TrimEnd('.')})");
        }
    }

    public IReadOnlyDictionary<string, int> Vocabulary => _vocabulary;

    /// <summary>The byte that a token such as &lt;0x0A&gt; stands for, or null.</summary>
    public static byte? FallbackByte(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
        && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : null;

    public void Encode(string piece, List<int> ids)
    {
        if (!_cutsAtWordStart)
        {
            EncodeWord(piece, ids);
            return;
        }
        for (var start = 0; start < piece.Length;)
        {
            var end = NextWordStart(piece, start);
            EncodeWord(piece[start..end], ids);
            start = end;
        }
    }

    private static int NextWordStart(string text, int start)
    {
        for (var i = start + 1; i < text.Length; i++)
            if (text[i] == WordStart && text[i - 1] != WordStart) return i;
        return text.Length;
    }

    private void EncodeWord(string word, List<int> ids)
    {
        if (word.Length == 0) return;
        if (_ignoreMerges && _vocabulary.TryGetValue(word, out var whole)) ids.Add(whole);
        else if (_bytes is null) ids.AddRange(_merger.EncodeToIds(word, considerPreTokenization: false, considerNormalization: false));
        else EncodeWithBytes(word, ids);
    }

    /// <summary>Characters outside the vocabulary as their bytes. No merge concerns those, so what lies between is encoded by itself.</summary>
    private void EncodeWithBytes(string word, List<int> ids)
    {
        var (known, at) = (0, 0);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in word.EnumerateRunes())
        {
            var next = at + rune.Utf16SequenceLength;
            if (!_vocabulary.ContainsKey(rune.ToString()))
            {
                Merge(word[known..at]);
                foreach (var value in utf8[..rune.EncodeToUtf8(utf8)]) ids.Add(_bytes![value]);
                known = next;
            }
            at = next;
        }
        Merge(word[known..]);

        void Merge(string text)
        {
            if (text.Length > 0) ids.AddRange(_merger.EncodeToIds(text, considerPreTokenization: false, considerNormalization: false));
        }
    }

    private static int[] ByteTokens(Dictionary<string, int> vocabulary, IReadOnlyList<string> merges, BpeSettings options, TokenizerNode node)
    {
        if (options.ContinuingSubwordPrefix is not null || options.EndOfWordSuffix is not null)
            throw node.Unsupported("\"byte_fallback\" together with a prefix or suffix of subwords is not supported");
        if (merges.Any(merge => merge.StartsWith("<0x", StringComparison.Ordinal) || merge.Contains(" <0x", StringComparison.Ordinal)))
            throw node.Unsupported("\"byte_fallback\" with merges of byte tokens is not supported");
        return [.. Enumerable.Range(0, 256).Select(value => vocabulary.TryGetValue($"<0x{value:X2}>", out var id)
            ? id
            : throw node.Malformed($"\"byte_fallback\" is set, but the token <0x{value:X2}> is not in the vocabulary"))];
    }
}

/// <summary>The settings of a BPE "model" beside vocabulary and merges.</summary>
internal sealed record BpeSettings(
    string? UnknownToken = null, bool FuseUnknown = false, bool ByteFallback = false, bool IgnoreMerges = false,
    string? ContinuingSubwordPrefix = null, string? EndOfWordSuffix = null);
