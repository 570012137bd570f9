namespace AccelerateSharp.Safetensors;

/// <summary>Finds the files of a checkpoint.</summary>
internal static class SafetensorsFiles
{
    /// <summary>The files behind a path, and the index that says what counts in them; no index where it is one file.</summary>
    /// <param name="path">A <c>.safetensors</c> file, an index, or a folder that holds <c>model.safetensors</c>, or one index, or one file.</param>
    public static (IReadOnlyList<string> Files, SafetensorsIndex? Index) Resolve(string path)
    {
        var weights = Directory.Exists(path) ? InFolder(path) : path;
        if (!File.Exists(weights)) throw new FileNotFoundException($"{weights}: there is no such file or folder.", weights);
        if (!weights.EndsWith(".json", StringComparison.Ordinal)) return ([weights], null);
        var index = SafetensorsIndex.Read(weights);
        var folder = Path.GetDirectoryName(weights)!;
        return ([.. index.Files.Select(file => Path.Combine(folder, file))], index);
    }

    private static string InFolder(string folder)
    {
        string[] names = [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        string[] indexes = [.. names.Where(name => name.EndsWith(SafetensorsIndex.Suffix, StringComparison.Ordinal))];
        string[] files = [.. names.Where(name => name.EndsWith(".safetensors", StringComparison.Ordinal))];
        if (files.Contains("model.safetensors")) return Path.Combine(folder, "model.safetensors");
        if (indexes.Length == 1) return Path.Combine(folder, indexes[0]);
        if (indexes.Length == 0 && files.Length == 1) return Path.Combine(folder, files[0]);
        if (indexes.Length == 0 && files.Length == 0)
        {
            var other = names.FirstOrDefault(name => name.EndsWith(".bin", StringComparison.Ordinal) || name.EndsWith(".pt", StringComparison.Ordinal));
            throw new FileNotFoundException($"{folder}: there are no safetensors weights in this folder."
                + (other is null ? "" : $" {other} is a pickle, which can run code and is not read; save the model as safetensors."));
        }
        throw new IOException($"{folder}: there are several weights ({string.Join(", ", indexes.Concat(files).Take(4))}, …). Name the file or the index.");
    }
}
