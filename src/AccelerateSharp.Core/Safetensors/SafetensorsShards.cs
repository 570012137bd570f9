using System.Globalization;
using System.Text.Json;
using AccelerateSharp.Files;

namespace AccelerateSharp.Safetensors;

/// <summary>Writes a checkpoint into a folder: one file, or as many as its size asks for with an index.</summary>
internal static class SafetensorsShards
{
    /// <summary>The name of a checkpoint's files where nobody asks for another.</summary>
    public const string DefaultName = "model";

    /// <summary>Writes <c>NAME.safetensors</c>, or <c>NAME-00001-of-0000N.safetensors</c> and <c>NAME.safetensors.index.json</c>.</summary>
    /// <remarks>Files that an earlier checkpoint of this name left are removed last, once the new one is complete.</remarks>
    /// <param name="folder">Made if it is not there.</param>
    /// <param name="tensors">The tensors; those that follow each other stay together.</param>
    /// <param name="maxShardSize">Largest size of a file, in bytes; a tensor that is larger has a file of its own.</param>
    /// <param name="metadata">Written into every file.</param>
    /// <param name="name">What the names of the files begin with.</param>
    public static void Write(
        string folder, IReadOnlyList<SafetensorsSource> tensors, long maxShardSize, IReadOnlyDictionary<string, string>? metadata = null, string name = DefaultName)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxShardSize, 1);
        Directory.CreateDirectory(folder);
        var shards = Split(tensors, maxShardSize);
        var written = new HashSet<string>(StringComparer.Ordinal);
        var weightMap = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < shards.Count; i++)
        {
            var file = shards.Count == 1 ? $"{name}.safetensors"
                : string.Create(CultureInfo.InvariantCulture, $"{name}-{i + 1:D5}-of-{shards.Count:D5}.safetensors");
            SafetensorsWriter.Write(Path.Combine(folder, file), shards[i], metadata);
            written.Add(file);
            foreach (var tensor in shards[i]) weightMap.Add(tensor.Name, file);
        }
        if (shards.Count > 1)
        {
            var index = name + SafetensorsIndex.Suffix;
            AtomicFile.Write(Path.Combine(folder, index), file => RandomAccess.Write(file, Index(weightMap, tensors.Sum(tensor => tensor.ByteCount)), 0));
            written.Add(index);
        }
        RemoveOthers(folder, name, written);
    }

    private static List<List<SafetensorsSource>> Split(IReadOnlyList<SafetensorsSource> tensors, long maxShardSize)
    {
        var shards = new List<List<SafetensorsSource>> { new() };
        var size = 0L;
        foreach (var tensor in tensors)
        {
            if (shards[^1].Count > 0 && size + tensor.ByteCount > maxShardSize)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(tensor);
            size += tensor.ByteCount;
        }
        return shards;
    }

    private static byte[] Index(SortedDictionary<string, string> weightMap, long totalSize)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("metadata");
            writer.WriteNumber("total_size", totalSize);
            writer.WriteEndObject();
            writer.WriteStartObject("weight_map");
            foreach (var (tensor, file) in weightMap) writer.WriteString(tensor, file);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }
        return stream.ToArray();
    }

    private static void RemoveOthers(string folder, string name, HashSet<string> written)
    {
        string[] candidates = [$"{name}.safetensors", name + SafetensorsIndex.Suffix, .. Directory.EnumerateFiles(folder, $"{name}-?????-of-?????.safetensors").Select(path => Path.GetFileName(path))];
        foreach (var candidate in candidates.Where(file => !written.Contains(file))) File.Delete(Path.Combine(folder, candidate));
    }
}
