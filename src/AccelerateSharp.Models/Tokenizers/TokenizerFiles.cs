using System.Globalization;
using System.Text;
using System.Text.Json;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>Reads the files of a tokenizer: <c>tokenizer.json</c>, else <c>vocab.txt</c>, else <c>vocab.json</c> with <c>merges.txt</c>.</summary>
internal static class TokenizerFiles
{
    public const string Json = "tokenizer.json", Config = "tokenizer_config.json", SpecialTokens = "special_tokens_map.json";
    public const string WordPieces = "vocab.txt", Vocabulary = "vocab.json", Merges = "merges.txt", Added = "added_tokens.json";

    /// <summary>All files that a tokenizer may consist of.</summary>
    public static IReadOnlyList<string> All { get; } = [Json, Config, SpecialTokens, WordPieces, Vocabulary, Merges, Added];

    public static (TokenizerPipeline Pipeline, TokenizerConfig Config) Read(string folder)
    {
        if (!Directory.Exists(folder)) throw new DirectoryNotFoundException($"There is no folder {folder} to read a tokenizer from; one of the Hub is downloaded first.");
        var config = TokenizerConfig.Read(folder);
        if (File.Exists(Path.Combine(folder, Json))) return (TokenizerJson.Read(Path.Combine(folder, Json), config), config);
        if (File.Exists(Path.Combine(folder, WordPieces))) return (VocabularyFiles.WordPiece(folder, config), config);
        if (File.Exists(Path.Combine(folder, Vocabulary)) && File.Exists(Path.Combine(folder, Merges))) return (VocabularyFiles.ByteLevelBpe(folder, config), config);
        throw new FileNotFoundException(
            $"{folder} holds no tokenizer: neither {Json}, nor {WordPieces}, nor {Vocabulary} with {Merges}."
            + (File.Exists(Path.Combine(folder, "tokenizer.model")) ? $" A tokenizer.model alone is not read; save the tokenizer once with transformers, which writes {Json}." : ""));
    }

    /// <summary>The document at that path, or an empty object where there is no such file.</summary>
    public static TokenizerNode OptionalDocument(string path) =>
        File.Exists(path) ? Document(path) : new TokenizerNode(JsonDocument.Parse("{}").RootElement, path, "");

    public static TokenizerNode Document(string path)
    {
        try
        {
            return new TokenizerNode(JsonDocument.Parse(File.ReadAllBytes(path)).RootElement, path, "");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path} is no valid JSON: {e.Message}", e);
        }
    }

    /// <summary>A vocabulary as a JSON object: tokens and their ids.</summary>
    public static Dictionary<string, int> ReadVocabulary(TokenizerNode node)
    {
        if (node.Element.ValueKind != JsonValueKind.Object) throw node.Malformed("an object of tokens and ids is expected");
        var vocabulary = new Dictionary<string, int>(node.Element.GetPropertyCount(), StringComparer.Ordinal);
        foreach (var entry in node.Element.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out var id) || id < 0)
                throw node.Malformed($"the id of \"{entry.Name}\" is no whole number");
            vocabulary[entry.Name] = id;
        }
        return vocabulary.Count > 0 ? vocabulary : throw node.Malformed("the vocabulary is empty");
    }

    /// <summary>A vocabulary as lines, each token's id being its line.</summary>
    public static Dictionary<string, int> ReadVocabularyLines(string path)
    {
        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (id, line) in File.ReadAllText(path, Encoding.UTF8).Split('\n').Index())
            if (line.TrimEnd() is { Length: > 0 } token) vocabulary[token] = id;
        return vocabulary.Count > 0 ? vocabulary : throw new InvalidDataException($"{path}: the vocabulary is empty.");
    }

    public static List<string> ReadMerges(string path)
    {
        var merges = new List<string>();
        foreach (var (number, line) in File.ReadAllText(path, Encoding.UTF8).Split('\n').Index())
        {
            if (line.StartsWith("#version", StringComparison.Ordinal) || line.TrimEnd('\r').Length == 0) continue;
            if (line.TrimEnd('\r').Split(' ') is not [{ Length: > 0 }, { Length: > 0 }])
                throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"{path}: line {number + 1} is no merge of two tokens."));
            merges.Add(line.TrimEnd('\r'));
        }
        return merges;
    }
}
