using System.CommandLine;
using System.Runtime.CompilerServices;

namespace AccelerateSharp.Cli.Help;

/// <summary>Headings under which the help lists the options of a command.</summary>
internal static class OptionGroups
{
    public const string Rest = "Options";

    private static readonly ConditionalWeakTable<Option, OptionGroup> _groups = [];

    /// <summary>Adds options to a command, under a heading of their own. Options that are added in another way come last.</summary>
    public static void Group(this Command command, string heading, params ReadOnlySpan<Option> options) => Add(command, new OptionGroup(heading, IsOptional: false, Owner: null), options);

    /// <summary>Adds options that a page for some typed options leaves out, but where one of the group or its owner is among them.</summary>
    public static void Group(this Command command, string heading, ReadOnlySpan<Option> options, Option? owner) => Add(command, new OptionGroup(heading, IsOptional: true, owner), options);

    public static OptionGroup? Of(Option option) => _groups.TryGetValue(option, out var group) ? group : null;

    private static void Add(Command command, OptionGroup group, ReadOnlySpan<Option> options)
    {
        foreach (var option in options)
        {
            command.Options.Add(option);
            _groups.Add(option, group);
        }
    }
}

/// <summary>Options that belong together.</summary>
/// <param name="Heading">What stands above them.</param>
/// <param name="IsOptional">Whether a page may leave them out.</param>
/// <param name="Owner">The option that chooses the group; null where there is none.</param>
internal sealed record OptionGroup(string Heading, bool IsOptional, Option? Owner);
