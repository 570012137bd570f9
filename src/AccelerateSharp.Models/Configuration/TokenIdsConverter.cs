using System.Text.Json;
using System.Text.Json.Serialization;

namespace AccelerateSharp.Models.Configuration;

/// <summary>Token numbers as the Hub writes them: one number, or a list of them.</summary>
internal sealed class TokenIdsConverter : JsonConverter<IReadOnlyList<long>>
{
    public override IReadOnlyList<long> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Number) return [reader.GetInt64()];
        if (reader.TokenType != JsonTokenType.StartArray) throw new JsonException("A token number, or a list of them, is expected.");
        var ids = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray) ids.Add(reader.GetInt64());
        return ids;
    }

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<long> value, JsonSerializerOptions options)
    {
        if (value is [var only])
        {
            writer.WriteNumberValue(only);
            return;
        }
        writer.WriteStartArray();
        foreach (var id in value) writer.WriteNumberValue(id);
        writer.WriteEndArray();
    }
}
