using System.Globalization;
using System.Text.Json;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>What <c>tokenizer_config.json</c> says, and where it is silent <c>special_tokens_map.json</c> and the model's <c>config.json</c>.</summary>
internal sealed record TokenizerConfig(TokenizerNode Settings, TokenizerNode SpecialTokensMap, string? ModelType)
{
    // Larger "lengths" are the reference's way to say that there is none.
    private const double NoLength = 1e15;

    /// <summary>The class that transformers reads this folder with, without the "Fast" at its end.</summary>
    public string? Class => Settings.OptionalText("tokenizer_class") is { } name ? name.EndsWith("Fast", StringComparison.Ordinal) ? name[..^4] : name : null;

    public int? ModelMaxLength =>
        Settings.Child("model_max_length") is { } length
            ? length.Element.ValueKind == JsonValueKind.Number && length.Element.GetDouble() is > 0 and var value ? value < NoLength ? checked((int)value) : null
            : throw length.Malformed("a number is expected")
            : null;

    public static TokenizerConfig Read(string folder)
    {
        var model = TokenizerFiles.OptionalDocument(Path.Combine(folder, "config.json"));
        return new TokenizerConfig(
            TokenizerFiles.OptionalDocument(Path.Combine(folder, TokenizerFiles.Config)),
            TokenizerFiles.OptionalDocument(Path.Combine(folder, TokenizerFiles.SpecialTokens)),
            model.Child("model_type")?.AsText());
    }

    /// <summary>The text of a named special token such as "pad_token", or null.</summary>
    public string? Special(string name) => Content(Settings.Child(name)) ?? Content(SpecialTokensMap.Child(name));

    /// <summary>The added tokens that this file lists.</summary>
    public IEnumerable<AddedToken> AddedTokens()
    {
        if (Settings.Child("added_tokens_decoder") is not { } tokens) yield break;
        foreach (var property in tokens.Element.EnumerateObject())
        {
            if (!int.TryParse(property.Name, NumberStyles.None, CultureInfo.InvariantCulture, out var id)) throw tokens.Malformed($"\"{property.Name}\" is no id");
            yield return Token(tokens.Required(property.Name), id);
        }
    }

    public static AddedToken Token(TokenizerNode node, int id)
    {
        node.AllowOnly("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special", "__type");
        var special = node.Flag("special", false);
        return new AddedToken(id, node.Text("content"), special, node.Flag("normalized", !special),
            node.Flag("lstrip", false), node.Flag("rstrip", false), node.Flag("single_word", false));
    }

    /// <summary>A special token stands there as a text, or as an object with its text in it.</summary>
    private static string? Content(TokenizerNode? node) =>
        node is not { } token ? null : token.Element.ValueKind == JsonValueKind.Object ? token.Text("content") : token.AsText();
}
