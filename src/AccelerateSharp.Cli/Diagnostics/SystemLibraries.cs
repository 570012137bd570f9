using System.Runtime.InteropServices;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>Where the dynamic linker would find a library, by looking at its folders: nothing is loaded.</summary>
internal static class SystemLibraries
{
    private const string Configuration = "/etc/ld.so.conf";

    private static readonly Lazy<IReadOnlyList<string>> _folders = new(() => [.. Folders().Distinct().Where(Directory.Exists)]);

    public static string? Find(string file) => _folders.Value.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);

    private static IEnumerable<string> Folders()
    {
        foreach (var folder in (Environment.GetEnvironmentVariable("LD_LIBRARY_PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)) yield return folder;
        foreach (var folder in Configured(Configuration)) yield return folder;
        var multiarch = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
        foreach (var folder in new[] { $"/lib/{multiarch}", $"/usr/lib/{multiarch}", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib" }) yield return folder;
    }

    /// <summary>A folder on each line, or "include PATTERN" for more such files.</summary>
    private static IEnumerable<string> Configured(string file)
    {
        if (!File.Exists(file)) yield break;
        foreach (var line in File.ReadAllLines(file).Select(line => line.Split('#')[0].Trim()).Where(line => line.Length > 0))
        {
            var words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words[0] != "include")
            {
                yield return line;
                continue;
            }
            foreach (var pattern in words[1..])
            {
                var folder = Path.GetDirectoryName(Path.GetFullPath(pattern, Path.GetDirectoryName(file)!))!;
                if (folder == Path.GetDirectoryName(file) || !Directory.Exists(folder)) continue;
                foreach (var included in Directory.EnumerateFiles(folder, Path.GetFileName(pattern)).Order(StringComparer.Ordinal))
                    foreach (var found in Configured(included)) yield return found;
            }
        }
    }
}
