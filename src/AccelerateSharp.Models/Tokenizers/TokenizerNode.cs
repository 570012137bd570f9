using System.Text.Json;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>One object of a tokenizer.json, which knows where it stands, so that every complaint names the file and the key.</summary>
internal readonly struct TokenizerNode(JsonElement element, string file, string path)
{
    public string File => file;

    public string Path => path;

    public JsonElement Element => element;

    /// <summary>The value of "type", by which the format tells its components apart.</summary>
    public string Type => Text("type");

    /// <summary>The child of that name, or null where it is absent or null.</summary>
    public TokenizerNode? Child(string key) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null
            ? new TokenizerNode(value, file, path.Length == 0 ? key : $"{path}.{key}")
            : null;

    public TokenizerNode Required(string key) => Child(key) ?? throw Malformed($"\"{key}\" is missing");

    public IEnumerable<TokenizerNode> Items(string key)
    {
        var list = Required(key);
        if (list.Element.ValueKind != JsonValueKind.Array) throw list.Malformed("a list is expected");
        var (listFile, listPath) = (file, path.Length == 0 ? key : $"{path}.{key}");
        return list.Element.EnumerateArray().Select((item, i) => new TokenizerNode(item, listFile, $"{listPath}[{i}]"));
    }

    public string AsText() => element.ValueKind == JsonValueKind.String ? element.GetString()! : throw Malformed("a string is expected");

    public int AsNumber() => element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out var number) ? number : throw Malformed("a whole number is expected");

    public bool AsFlag() => element.ValueKind is JsonValueKind.True or JsonValueKind.False ? element.GetBoolean() : throw Malformed("true or false is expected");

    public string Text(string key) => Required(key).AsText();

    public string? OptionalText(string key) => Child(key)?.AsText();

    public bool Flag(string key, bool whenAbsent) => Child(key)?.AsFlag() ?? whenAbsent;

    /// <summary>Refuses every key but these: a setting that nobody reads would make the tokens silently wrong.</summary>
    public TokenizerNode AllowOnly(params ReadOnlySpan<string> keys)
    {
        if (element.ValueKind != JsonValueKind.Object) throw Malformed("an object is expected");
        foreach (var property in element.EnumerateObject())
            if (property.Name != "type" && !keys.Contains(property.Name)) throw Unsupported($"the setting \"{property.Name}\" is not supported");
        return this;
    }

    public InvalidDataException Malformed(string problem) => new($"{file}: {Where}{problem}.");

    public NotSupportedException Unsupported(string problem) =>
        new($"{file}: {Where}{problem} here; a tokenizer that left it out would give other tokens than the model was trained with.");

    private string Where => path.Length == 0 ? "" : $"{path}: ";
}
