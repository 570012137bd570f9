using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>Configuration files as a user names them; what goes wrong is an error for the user.</summary>
internal static class ConfigFiles
{
    /// <summary>Reads a file that has no errors.</summary>
    /// <param name="path">The file.</param>
    /// <param name="warn">Takes each warning.</param>
    public static ConfigFile Read(string path, Action<string> warn)
    {
        var file = Reading(path, () => ConfigFile.Read(path));
        foreach (var warning in file.Warnings) warn(warning.ToString());
        return file.Errors.Any() ? throw new UserErrorException($"The configuration cannot be used:\n{file.ErrorText()}") : file;
    }

    /// <summary>The file that was named, or the default one where there is one.</summary>
    public static ConfigFile? Named(string? typed)
    {
        var path = typed is null ? ConfigLocation.Default() : ConfigLocation.Expand(typed);
        return typed is null && !File.Exists(path) ? null : Read(path, Console.Error.WriteLine);
    }

    /// <summary>Reads a file without asking what its keys mean.</summary>
    public static ConfigSection ReadUntyped(string path)
    {
        try
        {
            return Reading(path, () => ConfigFile.Nodes(path, File.ReadAllText(path))) switch
            {
                MapNode { Entries.Count: > 0 } map => (ConfigSection)ConfigBinder.Untyped(map)!,
                null or MapNode or ScalarNode { IsNull: true } => throw new UserErrorException($"'{path}' is empty."),
                var other => throw new UserErrorException($"{path}:{other.Line}: expected keys and values."),
            };
        }
        catch (ConfigSyntaxException e)
        {
            throw new UserErrorException($"{path}:{e.Line}: {e.Message}.");
        }
    }

    public static void Save(string path, ConfigSection values)
    {
        try
        {
            ConfigWriter.Save(path, values);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"'{path}' cannot be written: {e.Message}");
        }
    }

    private static T Reading<T>(string path, Func<T> read)
    {
        if (Directory.Exists(path)) throw new UserErrorException($"'{path}' is a folder, not a configuration file.");
        try
        {
            return read();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UserErrorException($"There is no configuration file '{path}'. `accelerate config --config_file {path}` writes one.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"'{path}' cannot be read: {e.Message}");
        }
    }
}
