using System.Text.Json;
using System.Text.Json.Nodes;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>Builds a tokenizer from a <c>tokenizer.json</c>, the format of the Hub's tokenizers library. What is not known there is refused.</summary>
internal static class TokenizerJson
{
    public static TokenizerPipeline Read(string path, TokenizerConfig config)
    {
        var root = TokenizerFiles.Document(path);
        // Truncation and padding are settings of a call, in the reference too; those in the file are not used.
        root.AllowOnly("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model");
        var model = Model(root.Required("model"));
        var added = root.Child("added_tokens") is null ? [] : root.Items("added_tokens").Select(t => TokenizerConfig.Token(t, t.Required("id").AsNumber())).ToList();
        return Assemble(model, added, root, config);
    }

    /// <summary>The parts that <paramref name="node"/> describes around a model.</summary>
    public static TokenizerPipeline Assemble(ITokenModel model, IReadOnlyList<AddedToken> added, TokenizerNode node, TokenizerConfig config)
    {
        var normalizer = Override(node.Child("normalizer"), "BertNormalizer", config,
            ("do_lower_case", "lowercase"), ("strip_accents", "strip_accents"), ("tokenize_chinese_chars", "handle_chinese_chars")) is { } n ? TextNormalizers.Read(n) : null;
        var preTokenizer = Override(node.Child("pre_tokenizer"), "ByteLevel", config, ("add_prefix_space", "add_prefix_space")) is { } p ? PreTokenizers.Read(p) : null;

        var known = added.Select(token => token.Content).ToHashSet(StringComparer.Ordinal);
        // What the model's vocabulary has keeps the number that it has there, as in the reference.
        var tokens = new AddedTokens(
            added.Concat(config.AddedTokens().Where(token => !known.Contains(token.Content)))
                .Select(token => model.Vocabulary.TryGetValue(token.Content, out var id) ? token with { Id = id } : token), normalizer);
        var template = TokenTemplate.Read(node.Child("post_processor"), IdOf);
        // Llama's class makes the template from two flags, whatever the file says.
        if (config.Class is "LlamaTokenizer" or "CodeLlamaTokenizer" or "GemmaTokenizer"
            && (config.Settings.Child("add_bos_token") is not null || config.Settings.Child("add_eos_token") is not null))
            template = TokenTemplate.BeginEnd(Flagged("add_bos_token", "bos_token", true), Flagged("add_eos_token", "eos_token", false));
        return new TokenizerPipeline(tokens, normalizer, preTokenizer, model, template, node.Child("decoder") is { } d ? TokenDecoders.Read(d) : null);

        int? IdOf(string token) => tokens.Find(token)?.Id ?? (model.Vocabulary.TryGetValue(token, out var id) ? id : null);

        int? Flagged(string flag, string name, bool whenAbsent)
        {
            if (!config.Settings.Flag(flag, whenAbsent)) return null;
            var token = config.Special(name) ?? throw config.Settings.Malformed($"\"{flag}\" is set, but \"{name}\" is not");
            return IdOf(token) ?? throw config.Settings.Malformed($"\"{name}\" is \"{token}\", which is in no vocabulary");
        }
    }

    private static ITokenModel Model(TokenizerNode node)
    {
        // Files of the format's first years leave the type out.
        switch (node.OptionalText("type") ?? (node.Child("merges") is null ? "WordPiece" : "BPE"))
        {
            case "BPE":
                node.AllowOnly("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges");
                if (node.Child("dropout") is { } dropout && dropout.Element.GetDouble() != 0) throw node.Unsupported("\"dropout\" is not supported");
                return new BpeModel(TokenizerFiles.ReadVocabulary(node.Required("vocab")), [.. node.Items("merges").Select(Merge)], new BpeSettings(
                    node.OptionalText("unk_token"), node.Flag("fuse_unk", false), node.Flag("byte_fallback", false), node.Flag("ignore_merges", false),
                    NotEmpty(node.OptionalText("continuing_subword_prefix")), NotEmpty(node.OptionalText("end_of_word_suffix"))), node);
            case "WordPiece":
                node.AllowOnly("unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab");
                return new WordPieceModel(TokenizerFiles.ReadVocabulary(node.Required("vocab")), node.OptionalText("unk_token") ?? "[UNK]",
                    node.OptionalText("continuing_subword_prefix") ?? "##", node.Child("max_input_chars_per_word")?.AsNumber() ?? 100, node);
            case var type:
                throw node.Unsupported($"the model \"{type}\" is not supported (BPE and WordPiece are)");
        }
    }

    private static string? NotEmpty(string? text) => text is { Length: > 0 } ? text : null;

    /// <summary>"left right", or in newer files a list of the two.</summary>
    private static string Merge(TokenizerNode node)
    {
        if (node.Element.ValueKind == JsonValueKind.String) return node.AsText();
        if (node.Element.ValueKind != JsonValueKind.Array || node.Element.GetArrayLength() != 2) throw node.Malformed("a merge is to be two tokens");
        var (left, right) = (node.Element[0].GetString()!, node.Element[1].GetString()!);
        return left.Contains(' ') || right.Contains(' ') ? throw node.Unsupported("merges of tokens with a space in them are not supported") : $"{left} {right}";
    }

    /// <summary>The component with those settings replaced that tokenizer_config.json gives: there they go first.</summary>
    private static TokenizerNode? Override(TokenizerNode? component, string type, TokenizerConfig config, params ReadOnlySpan<(string Setting, string Key)> settings)
    {
        if (component is not { } node || node.Type != type) return component;
        var changed = JsonObject.Create(node.Element)!;
        foreach (var (setting, key) in settings)
            if (config.Settings.Child(setting) is { } value) changed[key] = value.AsFlag();
        return new TokenizerNode(JsonSerializer.SerializeToElement(changed), node.File, node.Path);
    }
}
