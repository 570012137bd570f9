using System.Text.Json;

namespace AccelerateSharp.Safetensors;

/// <summary>The index of a checkpoint in several files (<c>model.safetensors.index.json</c>): which tensor is in which file.</summary>
/// <param name="WeightMap">From the name of a tensor to the name of the file that holds it, which lies beside the index.</param>
internal sealed record SafetensorsIndex(IReadOnlyDictionary<string, string> WeightMap)
{
    /// <summary>How the names of such files end.</summary>
    public const string Suffix = ".safetensors.index.json";

    /// <summary>The files, each once, in order of name.</summary>
    public IReadOnlyList<string> Files { get; } = [.. WeightMap.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    public static SafetensorsIndex Read(string path) => Parse(File.ReadAllBytes(path), path);

    public static SafetensorsIndex Parse(ReadOnlyMemory<byte> json, string name)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
            {
                throw new SafetensorsException($"{name}: there is no object 'weight_map' in this index.");
            }
            var files = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (var entry in map.EnumerateObject())
            {
                var file = entry.Value.ValueKind == JsonValueKind.String ? entry.Value.GetString()! : "";
                // Nobody's index may name a file elsewhere on the disk.
                if (file.Length == 0 || file is "." or ".." || file.AsSpan().ContainsAny('/', '\\', '\0'))
                    throw new SafetensorsException($"{name}: '{entry.Name}' is not mapped to a file beside the index.");
                if (!files.TryAdd(entry.Name, file)) throw new SafetensorsException($"{name}: '{entry.Name}' is there twice.");
            }
            return files.Count == 0 ? throw new SafetensorsException($"{name}: 'weight_map' is empty.") : new SafetensorsIndex(files);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new SafetensorsException($"{name}: this index is no valid JSON: {e.Message}", e);
        }
    }

    /// <summary>Checks the headers of the files against the index, and returns all tensors in the order of the files.</summary>
    public IReadOnlyList<SafetensorsTensor> Combine(IReadOnlyDictionary<string, SafetensorsHeader> headers, string name)
    {
        var all = new List<SafetensorsTensor>();
        foreach (var file in Files)
        {
            foreach (var tensor in headers[file].Tensors)
            {
                // A file may hold more than the index uses; what counts is what the index names.
                if (WeightMap.TryGetValue(tensor.Name, out var owner) && owner == file) all.Add(tensor);
            }
        }
        if (all.Count == WeightMap.Count) return all;
        var found = all.Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
        var missing = WeightMap.First(entry => !found.Contains(entry.Key));
        throw new SafetensorsException($"{name}: tensor '{missing.Key}' should be in {missing.Value}, but is not.");
    }
}
