using System.Globalization;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Finds settings where they may be said, each with its source: by an option, in the configuration file, in the environment, or nowhere.</summary>
/// <param name="file">The configuration file; null where there is none.</param>
/// <param name="environment">The environment.</param>
internal sealed class SettingReader(ConfigFile? file, EnvironmentReader environment)
{
    public ConfigFile? File => file;

    /// <summary>What the file says; null where there is none.</summary>
    public ClusterConfig? Config => file?.Config;

    public EnvironmentReader Environment => environment;

    public static Setting<int>? Typed(string option, int? value) => value is { } typed ? new(typed, Text($"from {option} {typed}"), Text($"{option} {typed}")) : null;

    public static Setting<string>? Typed(string option, string? value) => value is null ? null : new(value, $"from {option}", $"{option} {value}");

    /// <summary>An option that is there or not.</summary>
    public static Setting<bool>? Typed(string option, bool isThere) => isThere ? new(true, $"from {option}", option) : null;

    /// <summary>What the file says, under a key or as <c>section.key</c>; null where it says nothing.</summary>
    public Setting<T>? Written<T>(string key, T? value) where T : struct => value is { } written ? InFile(key, written) : null;

    public Setting<string>? Written(string key, string? value) => value is null ? null : InFile(key, value);

    public Setting<T> InFile<T>(string key, T value)
    {
        var place = Text($"{file!.Path}:{file.LineOf(key)}");
        return new(value, $"from {place}", Text($"{key} {value} ({place})"));
    }

    /// <summary>The first of these variables that holds a number.</summary>
    public Setting<int>? Number(params ReadOnlySpan<string> names) => environment.FirstNumber(names) is { } found ? InEnvironment(found.Name, found.Value) : null;

    /// <summary>The first of these variables that holds anything.</summary>
    public Setting<string>? Word(params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (environment.Text(name) is { } text) return InEnvironment(name, text);
        }
        return null;
    }

    public Setting<bool>? Flag(string name) => environment.Text(name) is { } text ? InEnvironment(name, EnvironmentReader.ParseFlag(name, text)) : null;

    public static Setting<T> Default<T>(string option, T value) => new(value, "the default", Text($"{option} {value}")) { IsDefault = true };

    private static Setting<T> InEnvironment<T>(string name, T value) => new(value, $"from {name}", Text($"{name}={value}"));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
