using System.Text.Json;
using System.Text.Json.Serialization;

namespace AccelerateSharp.Models.Lora;

/// <summary><c>target_modules</c>: a list of names, or one string, which is <c>all-linear</c> or a regular expression.</summary>
internal sealed class TargetModulesConverter : JsonConverter<IReadOnlyList<string>>
{
    /// <summary>Marks an entry as a regular expression over whole names.</summary>
    public const string Pattern = "regex:";

    public override IReadOnlyList<string> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.String)
            return [reader.GetString() is LoraConfig.AllLinear ? LoraConfig.AllLinear : Pattern + reader.GetString()];
        if (reader.TokenType != JsonTokenType.StartArray) throw new JsonException("target_modules is a list of names, or one string.");
        var names = new List<string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray) names.Add(reader.GetString()!);
        return names;
    }

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<string> value, JsonSerializerOptions options)
    {
        if (value is [var only] && (only == LoraConfig.AllLinear || only.StartsWith(Pattern, StringComparison.Ordinal)))
        {
            writer.WriteStringValue(only == LoraConfig.AllLinear ? only : only[Pattern.Length..]);
            return;
        }
        writer.WriteStartArray();
        foreach (var name in value) writer.WriteStringValue(name);
        writer.WriteEndArray();
    }
}
