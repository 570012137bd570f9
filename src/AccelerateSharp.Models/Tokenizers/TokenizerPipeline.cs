namespace AccelerateSharp.Models.Tokenizers;

/// <summary>Text to text, before it is cut into pieces.</summary>
internal delegate string Normalizer(string text);

/// <summary>A stretch of text that the model encodes by itself, and whether the whole input begins with it.</summary>
internal readonly record struct Piece(string Text, bool AtStart);

/// <summary>Cuts one piece into those that the model sees.</summary>
internal delegate IEnumerable<Piece> PreTokenizer(Piece piece);

/// <summary>Tokens to tokens; what the last one gives is written one after the other.</summary>
internal delegate IReadOnlyList<string> TokenDecoder(IReadOnlyList<string> tokens);

/// <summary>The vocabulary and how a piece is made of it.</summary>
internal interface ITokenModel
{
    IReadOnlyDictionary<string, int> Vocabulary { get; }

    void Encode(string piece, List<int> ids);
}

/// <summary>The parts of a tokenizer in the order in which text passes them, as tokenizer.json lays them out.</summary>
/// <param name="AddedTokens">Found in the text before anything else.</param>
/// <param name="Normalizer">Null leaves the text as it is.</param>
/// <param name="PreTokenizer">Null gives the model everything between two added tokens as one piece.</param>
/// <param name="Model">Vocabulary and merges.</param>
/// <param name="Template">Where special tokens go.</param>
/// <param name="Decoder">Null puts a space between two tokens.</param>
internal sealed record TokenizerPipeline(
    AddedTokens AddedTokens,
    Normalizer? Normalizer,
    PreTokenizer? PreTokenizer,
    ITokenModel Model,
    TokenTemplate Template,
    TokenDecoder? Decoder)
{
    /// <summary>The names of special tokens that the tokenizer's class knows, where no file gives them: "pad_token" and so on.</summary>
    public IReadOnlyDictionary<string, string> DefaultSpecialTokens { get; init; } = new Dictionary<string, string>();

    /// <summary>The tokens of a text, without the special tokens of the template.</summary>
    public List<int> Encode(string text)
    {
        var ids = new List<int>();
        foreach (var (segment, token) in AddedTokens.Split(text, Normalizer))
        {
            if (token is { } id)
            {
                ids.Add(id);
                continue;
            }
            if (PreTokenizer is null) Model.Encode(segment.Text, ids);
            else
                foreach (var piece in PreTokenizer(segment)) Model.Encode(piece.Text, ids);
        }
        return ids;
    }

    public string Decode(IEnumerable<string> tokens)
    {
        var list = tokens.ToList();
        return Decoder is null ? string.Join(' ', list) : string.Concat(Decoder(list));
    }
}
