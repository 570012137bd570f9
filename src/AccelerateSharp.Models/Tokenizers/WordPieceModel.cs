using System.Text;
using Microsoft.ML.Tokenizers;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>WordPiece: the longest entry of the vocabulary that the rest of the word begins with, again and again. Microsoft.ML.Tokenizers'.</summary>
internal sealed class WordPieceModel : ITokenModel
{
    private readonly Dictionary<string, int> _vocabulary;
    private readonly WordPieceTokenizer _pieces;
    private readonly int _longest;
    private readonly int _unknown;

    public WordPieceModel(Dictionary<string, int> vocabulary, string unknownToken, string prefix, int longestWord, TokenizerNode node)
    {
        if (!vocabulary.TryGetValue(unknownToken, out _unknown)) throw node.Malformed($"the unknown token \"{unknownToken}\" is not in the vocabulary");
        (_vocabulary, _longest) = (vocabulary, longestWord);
        using var lines = new MemoryStream(Encoding.UTF8.GetBytes(Lines(vocabulary, node)));
        // The library counts UTF-16 units, the format counts characters: the limit is ours.
        _pieces = WordPieceTokenizer.Create(lines, new WordPieceOptions
        {
            UnknownToken = unknownToken,
            ContinuingSubwordPrefix = prefix,
            MaxInputCharsPerWord = 2 * longestWord,
        });
    }

    public IReadOnlyDictionary<string, int> Vocabulary => _vocabulary;

    public void Encode(string piece, List<int> ids)
    {
        if (piece.Length == 0) return;
        if (piece.Length > _longest && piece.EnumerateRunes().Count() > _longest) ids.Add(_unknown);
        else ids.AddRange(_pieces.EncodeToIds(piece, considerPreTokenization: false, considerNormalization: false));
    }

    /// <summary>The library reads a vocabulary as lines, the number of a line being the id; an id that nobody has is an empty line.</summary>
    private static string Lines(Dictionary<string, int> vocabulary, TokenizerNode node)
    {
        var lines = new string[vocabulary.Values.Max() + 1];
        foreach (var (token, id) in vocabulary)
        {
            if (token.AsSpan().ContainsAny('\n', '\r')) throw node.Unsupported("an entry of the vocabulary with a line break is not supported");
            if (lines[id] is not null) throw node.Malformed($"the id {id} is given to \"{lines[id]}\" and to \"{token}\"");
            lines[id] = token;
        }
        return string.Join('\n', lines);
    }
}
