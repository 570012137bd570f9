using System.CommandLine;
using System.Runtime.CompilerServices;

namespace AccelerateSharp.Cli.Help;

/// <summary>Headings under which the help lists the options of a command.</summary>
internal static class OptionGroups
{
    public const string Rest = "Options";

    private static readonly ConditionalWeakTable<Option, string> _headings = [];

    /// <summary>Adds options to a command, under a heading of their own. Options that are added in another way come last.</summary>
    public static void Group(this Command command, string heading, params ReadOnlySpan<Option> options)
    {
        foreach (var option in options)
        {
            command.Options.Add(option);
            _headings.Add(option, heading);
        }
    }

    public static string HeadingOf(Option option) => _headings.TryGetValue(option, out var heading) ? heading : Rest;
}
