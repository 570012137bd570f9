namespace AccelerateSharp.Configuration;

/// <summary>Where the configuration is that is used when none is named.</summary>
internal static class ConfigLocation
{
    /// <summary>The default file, which need not exist.</summary>
    /// <param name="lookup">How an environment variable is looked up; null for the environment of this process.</param>
    public static string Default(Func<string, string?>? lookup = null)
    {
        lookup ??= Environment.GetEnvironmentVariable;
        var cache = lookup("HF_HOME") is { Length: > 0 } home ? Expand(home, lookup)
            : Path.Combine(lookup("XDG_CACHE_HOME") is { Length: > 0 } xdg ? Expand(xdg, lookup) : Path.Combine(Home(lookup), ".cache"), "huggingface");
        var yaml = Path.Combine(cache, "accelerate", "default_config.yaml");
        var json = Path.ChangeExtension(yaml, ".json");
        return !File.Exists(yaml) && File.Exists(json) ? json : yaml;
    }

    /// <summary>A path in which <c>~</c> stands for the user's home.</summary>
    public static string Expand(string path, Func<string, string?>? lookup = null) =>
        path == "~" || path.StartsWith("~/", StringComparison.Ordinal)
            ? Path.Join(Home(lookup ?? Environment.GetEnvironmentVariable), path[1..])
            : path;

    private static string Home(Func<string, string?> lookup) =>
        lookup("HOME") is { Length: > 0 } home ? home : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
}
