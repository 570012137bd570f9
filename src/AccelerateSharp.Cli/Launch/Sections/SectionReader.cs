using System.Globalization;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>Finds the values of the sections' options, as texts for the workers' environment.</summary>
/// <param name="typed">What was typed, by option.</param>
/// <param name="reader">Where else values may be said.</param>
internal sealed class SectionReader(IReadOnlyDictionary<string, string> typed, SettingReader reader)
{
    public bool IsTyped(SectionFlag flag) => typed.ContainsKey(flag.Option);

    /// <summary>The value of an option; null where nobody said anything and there is no default.</summary>
    public Setting<string>? Find(SectionFlag flag)
    {
        if (typed.TryGetValue(flag.Option, out var text)) return SettingReader.Typed(flag.Option, Checked(flag, text));
        return InFile(flag)
            ?? (flag.Variable is { } variable ? reader.Word(variable) : null)
            ?? (flag.Default is { } value ? SettingReader.Default(flag.Option, value) : null);
    }

    /// <summary>What the file says; null where it says nothing.</summary>
    public Setting<string>? InFile(SectionFlag flag) =>
        (reader.Config?.Values[flag.Section] as ConfigSection)?[flag.Type.Name] is { } value ? reader.InFile(flag.Path, Text(value)) : null;

    private static string Checked(SectionFlag flag, string text)
    {
        var type = flag.Type;
        if (type.Kind is ConfigKind.Switch or ConfigKind.SwitchOrChoice && IsFlag(text) is { } on) return Text(on);
        return ConfigBinder.FromText(text, type) is { } value
            ? Text(value)
            : throw new UserErrorException($"{flag.Option} {text}: expected {type.Expectation}.{Spelling.Hint(text, type.Choices)}");
    }

    private static bool? IsFlag(string text)
    {
        try
        {
            return EnvironmentReader.ParseFlag("", text);
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static string Text(ConfigValue value) => value switch
    {
        ConfigText text => text.Value,
        ConfigWhole whole => whole.Value.ToString(CultureInfo.InvariantCulture),
        ConfigReal real => real.Value.ToString("R", CultureInfo.InvariantCulture),
        ConfigSwitch { Value: var on } => on ? "true" : "false",
        ConfigList list => string.Join(',', list.Items.Select(Text)),
        _ => throw new InvalidOperationException($"{value.GetType().Name} is no single value."),
    };
}
