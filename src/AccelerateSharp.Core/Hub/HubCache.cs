using AccelerateSharp.Files;

namespace AccelerateSharp.Hub;

/// <summary>The cache of one model, as all of the Hub's clients lay it out: <c>models--org--name/{blobs,refs,snapshots}</c>.</summary>
/// <remarks>A file appears in <c>blobs</c> by a rename when it is complete and checked, and in a snapshot, as a link, after that.</remarks>
internal sealed class HubCache(string cacheFolder, string modelId)
{
    private readonly string _folder = Path.Combine(cacheFolder, "models--" + modelId.Replace("/", "--", StringComparison.Ordinal));

    public string Blobs => Path.Combine(_folder, "blobs");

    /// <summary>The commit that a branch or tag was at when it was last asked for, or null.</summary>
    public string? CommitOf(string revision)
    {
        var file = Path.Combine(_folder, "refs", revision);
        if (File.Exists(file) && File.ReadAllText(file).Trim() is var commit && HubNames.IsPlainWord(commit)) return commit;
        return HubNames.IsPlainWord(revision) && Directory.Exists(Snapshot(revision)) ? revision : null;
    }

    public void SetCommit(string revision, string commit)
    {
        if (revision == commit) return;
        var file = Path.Combine(_folder, "refs", revision);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        if (File.Exists(file) && File.ReadAllText(file) == commit) return;
        AtomicFile.Write(file, commit);
    }

    /// <summary>The files of a commit that are in the cache, by their paths in the repository.</summary>
    public IReadOnlyList<string> FilesOf(string commit)
    {
        var snapshot = Snapshot(commit);
        return Directory.Exists(snapshot)
            ? [.. Directory.EnumerateFiles(snapshot, "*", SearchOption.AllDirectories).Where(File.Exists)
                .Select(file => Path.GetRelativePath(snapshot, file).Replace(Path.DirectorySeparatorChar, '/')).Order(StringComparer.Ordinal)]
            : [];
    }

    /// <summary>The path of a file of a commit, or null where the cache has not got it.</summary>
    public string? Find(string commit, string file) => PathOf(commit, file) is var path && File.Exists(path) ? path : null;

    /// <summary>Makes a complete blob appear in a snapshot.</summary>
    public string Link(string commit, string file, string blob)
    {
        var path = PathOf(commit, file);
        var folder = Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(folder);
        if (File.Exists(path)) return path;
        try
        {
            // A link whose blob is gone.
            if (new FileInfo(path).LinkTarget is not null) File.Delete(path);
            File.CreateSymbolicLink(path, Path.GetRelativePath(folder, blob));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Either another process was faster, or there are no links here (Windows without the right to make them).
            if (File.Exists(path)) return path;
            var temporary = Path.Combine(Blobs, $"{Guid.NewGuid():N}.incomplete");
            File.Copy(blob, temporary);
            File.Move(temporary, path, overwrite: true);
        }
        return path;
    }

    private string Snapshot(string commit) => Path.Combine(_folder, "snapshots", commit);

    private string PathOf(string commit, string file) => Path.Combine(Snapshot(commit), file.Replace('/', Path.DirectorySeparatorChar));
}
