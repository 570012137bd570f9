namespace AccelerateSharp.Models.Configuration;

internal static class ConfigFiles
{
    public const string Name = "config.json";

    /// <summary>The <c>config.json</c> that a path to it or to its folder means.</summary>
    public static string Resolve(string path)
    {
        var file = Directory.Exists(path) ? Path.Combine(path, Name) : path;
        if (File.Exists(file)) return file;
        throw new FileNotFoundException(Directory.Exists(path)
            ? $"{path} holds no {Name}, which says what model its weights are of."
            : $"There is no folder or file {path}. Models are read from a local folder with {Name} and safetensors; one of the Hub is downloaded first.", file);
    }
}
