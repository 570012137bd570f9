using System.Text.Json;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>Tokenizers from before <c>tokenizer.json</c>: the vocabulary is in files, the rest is what the tokenizer's class does.</summary>
internal static class VocabularyFiles
{
    private const string BertParts = """
        {
          "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
          "pre_tokenizer": { "type": "BertPreTokenizer" },
          "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true }
        }
        """;

    private const string ByteLevelParts = """
        {
          "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
          "decoder": { "type": "ByteLevel" }
        }
        """;

    /// <summary>BERT: <c>vocab.txt</c>.</summary>
    public static TokenizerPipeline WordPiece(string folder, TokenizerConfig config)
    {
        var path = Path.Combine(folder, TokenizerFiles.WordPieces);
        var vocabulary = TokenizerFiles.ReadVocabularyLines(path);
        var unknown = config.Special("unk_token") ?? "[UNK]";
        var special = Special(folder, vocabulary, config, path, ("unk_token", "[UNK]"), ("sep_token", "[SEP]"), ("pad_token", "[PAD]"), ("cls_token", "[CLS]"), ("mask_token", "[MASK]"));
        var model = new WordPieceModel(vocabulary, unknown, "##", 100, new TokenizerNode(default, path, ""));
        return TokenizerJson.Assemble(model, special.Tokens, Parts(BertParts, path), config) with
        {
            Template = TokenTemplate.Bert(special.Id("cls_token"), special.Id("sep_token")),
            DefaultSpecialTokens = special.Names,
        };
    }

    /// <summary>GPT-2 and RoBERTa: <c>vocab.json</c> and <c>merges.txt</c>.</summary>
    public static TokenizerPipeline ByteLevelBpe(string folder, TokenizerConfig config)
    {
        var path = Path.Combine(folder, TokenizerFiles.Vocabulary);
        var vocabulary = TokenizerFiles.ReadVocabulary(TokenizerFiles.Document(path));
        var model = new BpeModel(vocabulary, TokenizerFiles.ReadMerges(Path.Combine(folder, TokenizerFiles.Merges)), new BpeSettings(), new TokenizerNode(default, path, ""));
        // The files of the two look alike; without a word in a config, RoBERTa's own tokens tell them apart.
        var kind = config.Class ?? config.ModelType ?? (vocabulary.ContainsKey("<s>") && vocabulary.ContainsKey("<mask>") ? "roberta" : "gpt2");
        switch (kind)
        {
            case "GPT2Tokenizer" or "gpt2":
                if (config.Settings.Flag("add_bos_token", false)) throw config.Settings.Unsupported("\"add_bos_token\" of a GPT-2 tokenizer is not supported");
                var gpt = Special(folder, vocabulary, config, path, ("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"));
                return TokenizerJson.Assemble(model, gpt.Tokens, Parts(ByteLevelParts, path), config) with { DefaultSpecialTokens = gpt.Names };
            case "RobertaTokenizer" or "roberta":
                var roberta = Special(folder, vocabulary, config, path, ("bos_token", "<s>"), ("eos_token", "</s>"), ("sep_token", "</s>"), ("cls_token", "<s>"),
                    ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>"));
                return TokenizerJson.Assemble(model, roberta.Tokens, Parts(ByteLevelParts, path), config) with
                {
                    Template = TokenTemplate.Roberta(roberta.Id("cls_token"), roberta.Id("sep_token")),
                    DefaultSpecialTokens = roberta.Names,
                };
            default:
                throw new NotSupportedException(
                    $"{folder}: {TokenizerFiles.Vocabulary} with {TokenizerFiles.Merges} is read for GPT-2 and RoBERTa; for \"{kind}\" save the tokenizer once with transformers, which writes {TokenizerFiles.Json}.");
        }
    }

    private static TokenizerNode Parts(string json, string path) => new(JsonDocument.Parse(json).RootElement, path, "");

    /// <summary>The class's special tokens under the names that the config gives them, and the tokens of added_tokens.json.</summary>
    private static SpecialTokens Special(
        string folder, Dictionary<string, int> vocabulary, TokenizerConfig config, string path, params ReadOnlySpan<(string Name, string Default)> names)
    {
        var (tokens, ids, contents) = (new Dictionary<string, AddedToken>(StringComparer.Ordinal), new Dictionary<string, int>(), new Dictionary<string, string>());
        var added = TokenizerFiles.OptionalDocument(Path.Combine(folder, TokenizerFiles.Added));
        var extra = File.Exists(added.File) ? TokenizerFiles.ReadVocabulary(added) : [];
        foreach (var (name, text) in names)
        {
            var content = config.Special(name) ?? text;
            if (!vocabulary.TryGetValue(content, out var id) && !extra.TryGetValue(content, out id)) continue;
            (ids[name], contents[name]) = (id, content);
            // RoBERTa's mask takes the space before it along: its word is what the space belongs to.
            tokens[content] = new AddedToken(id, content, IsSpecial: true, IsNormalized: false, StripsLeft: content == "<mask>");
        }
        foreach (var (content, id) in extra) tokens.TryAdd(content, new AddedToken(id, content, IsSpecial: false, IsNormalized: true));
        return new SpecialTokens([.. tokens.Values], ids, contents, path);
    }

    private sealed record SpecialTokens(IReadOnlyList<AddedToken> Tokens, Dictionary<string, int> Ids, Dictionary<string, string> Names, string File)
    {
        public int Id(string name) => Ids.TryGetValue(name, out var id) ? id : throw new InvalidDataException($"{File}: the {name} is not in the vocabulary.");
    }
}
