using System.Text.Json;
using AccelerateSharp.Files;

namespace AccelerateSharp.BigModel;

/// <summary>Reads and writes <c>index.json</c> of an offload folder.</summary>
internal static class OffloadIndex
{
    public const string FileName = "index.json";

    /// <summary>The entries by name; none where the folder has no index yet.</summary>
    /// <exception cref="IOException">The index is not what one looks like.</exception>
    public static Dictionary<string, OffloadEntry> Read(string folder)
    {
        var entries = new Dictionary<string, OffloadEntry>(StringComparer.Ordinal);
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path)) return entries;
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            foreach (var property in document.RootElement.EnumerateObject())
            {
                var value = property.Value;
                entries[property.Name] = new OffloadEntry(
                    value.GetProperty("dtype").GetString()!,
                    value.TryGetProperty("shape", out var shape) ? [.. shape.EnumerateArray().Select(extent => extent.GetInt64())] : null,
                    value.TryGetProperty("safetensors_file", out var file) ? file.GetString() : null,
                    value.TryGetProperty("weight_name", out var name) ? name.GetString() : null);
            }
            return entries;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new IOException($"{path} is no index of an offload folder: {e.Message} Delete the folder, and the weights are written again.", e);
        }
    }

    public static void Write(string folder, IReadOnlyDictionary<string, OffloadEntry> entries)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = true, IndentSize = 2 }))
        {
            json.WriteStartObject();
            foreach (var (name, entry) in entries)
            {
                json.WriteStartObject(name);
                if (entry.SafetensorsFile is not null)
                {
                    json.WriteString("safetensors_file", entry.SafetensorsFile);
                    json.WriteString("weight_name", entry.WeightName);
                }
                json.WriteString("dtype", entry.Dtype);
                if (entry.Shape is not null)
                {
                    json.WriteStartArray("shape");
                    foreach (var extent in entry.Shape) json.WriteNumberValue(extent);
                    json.WriteEndArray();
                }
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        AtomicFile.Write(Path.Combine(folder, FileName), file => RandomAccess.Write(file, text.ToArray(), 0));
    }
}
