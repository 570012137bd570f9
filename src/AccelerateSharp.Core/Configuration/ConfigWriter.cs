using System.Globalization;
using System.Text;
using System.Text.Json;
using AccelerateSharp.Files;

namespace AccelerateSharp.Configuration;

/// <summary>Writes a configuration as the reference does: keys in the order of the alphabet, nothing that is empty.</summary>
internal static class ConfigWriter
{
    /// <summary>Writes JSON where the name ends with <c>.json</c>, else YAML; the file is there whole or not at all.</summary>
    public static void Save(string path, ConfigSection values)
    {
        var full = Path.GetFullPath(path);
        var text = full.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? ToJson(values) : ToYaml(values);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        AtomicFile.Write(full, text);
    }

    public static string ToYaml(ConfigSection values)
    {
        var text = new StringBuilder();
        foreach (var (key, value) in values) Yaml(text, key, value, indent: "");
        return text.Length == 0 ? "{}\n" : text.ToString();
    }

    public static string ToJson(ConfigSection values)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true })) Json(writer, values);
        return Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    private static void Yaml(StringBuilder text, string key, ConfigValue value, string indent)
    {
        if (value is ConfigSection { Count: 0 }) return;
        text.Append(indent).Append(YamlText.Of(key)).Append(':');
        switch (value)
        {
            case ConfigSection section:
                text.Append('\n');
                foreach (var (inner, innerValue) in section) Yaml(text, inner, innerValue, indent + "  ");
                break;
            case ConfigList { Items.Count: > 0 } list when list.Items.All(item => item is not (ConfigSection or ConfigList)):
                text.Append('\n');
                foreach (var item in list.Items) text.Append(indent).Append("- ").Append(Scalar(item)).Append('\n');
                break;
            default:
                text.Append(' ').Append(value is ConfigList ? Flow(value) : Scalar(value)).Append('\n');
                break;
        }
    }

    /// <summary>Lists of lists or of sections, which no key of ours has: in brackets.</summary>
    private static string Flow(ConfigValue value) => value switch
    {
        ConfigList list => "[" + string.Join(", ", list.Items.Select(Flow)) + "]",
        ConfigSection section => "{" + string.Join(", ", section.Select(entry => $"{YamlText.Quoted(entry.Key)}: {Flow(entry.Value)}")) + "}",
        ConfigText { Value: var text } => YamlText.Quoted(text),
        _ => Scalar(value),
    };

    private static string Scalar(ConfigValue value) => value switch
    {
        ConfigText { Value: var text } => YamlText.Of(text),
        ConfigWhole { Value: var number } => number.ToString(CultureInfo.InvariantCulture),
        ConfigReal { Value: var number } => Real(number),
        ConfigSwitch { Value: var on } => on ? "true" : "false",
        _ => throw new InvalidOperationException($"{value.GetType().Name} is not a scalar."),
    };

    /// <summary>With a point and a signed exponent, without which YAML 1.1 takes it for a whole number or for text.</summary>
    private static string Real(double number)
    {
        var text = number.ToString("R", CultureInfo.InvariantCulture).Replace('E', 'e');
        var exponent = text.IndexOf('e', StringComparison.Ordinal);
        var mantissa = exponent < 0 ? text : text[..exponent];
        if (!mantissa.Contains('.', StringComparison.Ordinal)) mantissa += ".0";
        return exponent < 0 ? mantissa : mantissa + text[exponent..];
    }

    private static void Json(Utf8JsonWriter writer, ConfigValue value)
    {
        switch (value)
        {
            case ConfigSection section:
                writer.WriteStartObject();
                foreach (var (key, inner) in section)
                {
                    if (inner is ConfigSection { Count: 0 }) continue;
                    writer.WritePropertyName(key);
                    Json(writer, inner);
                }
                writer.WriteEndObject();
                break;
            case ConfigList list:
                writer.WriteStartArray();
                foreach (var item in list.Items) Json(writer, item);
                writer.WriteEndArray();
                break;
            case ConfigText { Value: var text }:
                writer.WriteStringValue(text);
                break;
            case ConfigSwitch { Value: var on }:
                writer.WriteBooleanValue(on);
                break;
            default:
                writer.WriteRawValue(Scalar(value));
                break;
        }
    }
}
