namespace AccelerateSharp.Models.Configuration;

internal static class ConfigFiles
{
    public const string Name = "config.json";

    /// <summary>The <c>config.json</c> that a path to it or to its folder means.</summary>
    public static string Resolve(string path)
    {
        var file = Directory.Exists(path) ? Path.Combine(path, Name) : path;
        return File.Exists(file) ? file : throw new FileNotFoundException($"There is no model configuration {file}.", file);
    }
}
