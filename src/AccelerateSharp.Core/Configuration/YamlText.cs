using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Configuration;

/// <summary>Text as YAML: quoted where a reader, also one of YAML 1.1, would take it for something else.</summary>
internal static partial class YamlText
{
    public static string Of(string text) => IsPlain(text) ? text : Quoted(text);

    /// <summary>In single quotation marks where that is enough; else in double ones.</summary>
    public static string Quoted(string text)
    {
        if (text.All(c => c is >= ' ' and <= '~')) return "'" + text.Replace("'", "''", StringComparison.Ordinal) + "'";
        var quoted = new StringBuilder("\"");
        foreach (var c in text)
        {
            if (c is '"' or '\\') quoted.Append('\\').Append(c);
            else if (c is >= ' ' and <= '~' || (c > '\u00a0' && !IsAwkward(c))) quoted.Append(c);
            else quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
        }
        return quoted.Append('"').ToString();
    }

    /// <remarks>A star behind a space: YamlDotNet reads such a key as the beginning of a text of several lines.</remarks>
    private static bool IsPlain(string text) => PlainText().IsMatch(text) && !text.EndsWith(':') && !text.Contains(": ", StringComparison.Ordinal)
        && !text.Contains(" *", StringComparison.Ordinal) && !TypedText().IsMatch(text);

    /// <summary>Line ends of Unicode, byte order marks and what is no character.</summary>
    private static bool IsAwkward(char c) => c is '\u2028' or '\u2029' or '\ufeff' or >= '\ufffe';

    [GeneratedRegex(@"^[A-Za-z0-9_/.~\\+](?:[A-Za-z0-9_/.,:~+=@*()$^|<>\\-]| (?! |$))*\z", RegexOptions.CultureInvariant)]
    private static partial Regex PlainText();

    /// <summary>Null, booleans and numbers of YAML 1.1 and 1.2, dates, and merges.</summary>
    [GeneratedRegex(
        @"^(?:|~|null|true|false|yes|no|on|off|y|n|<<|=|\.\.\.|[-+]?\.(?:inf|nan)|[-+]?0x[0-9a-f_]+|[-+]?0o?[0-7_]+|[-+]?(?:[0-9][0-9_]*)?\.?[0-9_]*(?:e[-+]?[0-9]+)?"
        + @"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?.*)\z",
        RegexOptions.CultureInvariant | RegexOptions.IgnoreCase)]
    private static partial Regex TypedText();
}
