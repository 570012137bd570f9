using System.CommandLine;
using System.CommandLine.Help;
using System.Text;

namespace AccelerateSharp.Cli.Help;

/// <summary>The help page of a command, made for 80 columns.</summary>
internal static class HelpText
{
    private const int Width = 80;
    private const int Column = 26;

    /// <param name="command">The command.</param>
    /// <param name="parsed">What was typed beside the wish for help: groups of options that this does not choose are left out.</param>
    public static string Of(Command command, ParseResult parsed)
    {
        var typed = command.Options.Where(option => option is not HelpOption && parsed.GetResult(option) is { Implicit: false }).ToHashSet();
        var page = new StringBuilder();
        Paragraph(page, command.Description ?? "");
        page.AppendLine().AppendLine("Usage:");
        Usage(page, command);
        if (command.Arguments.Any(argument => !argument.Hidden))
        {
            page.AppendLine().AppendLine("Arguments:");
            foreach (var argument in command.Arguments.Where(argument => !argument.Hidden)) Row(page, NameOf(argument), argument.Description);
        }
        if (command.Subcommands.Any(sub => !sub.Hidden))
        {
            page.AppendLine().AppendLine("Commands:");
            foreach (var sub in command.Subcommands.Where(sub => !sub.Hidden)) Row(page, sub.Name, sub.Description);
        }
        var areLeftOut = Options(page, command, typed);
        if (command.Options.Any(option => option.Name.Contains('_', StringComparison.Ordinal)))
        {
            page.AppendLine();
            Paragraph(page, "Options may also be spelled with - instead of _." + (areLeftOut ? $" `{string.Join(' ', Path(command))} --help` alone shows those of every paradigm." : ""));
        }
        else if (command is RootCommand)
        {
            page.AppendLine();
            Paragraph(page, "`accelerate COMMAND --help` tells the options of a command.");
        }
        return page.ToString();
    }

    private static void Usage(StringBuilder page, Command command)
    {
        var path = string.Join(' ', Path(command));
        var own = command.Arguments.Where(argument => !argument.Hidden).Select(NameOf).Prepend("[options]");
        if (command is not RootCommand && command.Action is not null) page.AppendLine($"  {path} {string.Join(' ', own)}");
        if (command.Subcommands.Count > 0) page.AppendLine($"  {path} COMMAND [options]");
    }

    private static IEnumerable<string> Path(Command command) =>
        command.Parents.OfType<Command>().FirstOrDefault() is { } parent ? Path(parent).Append(command.Name) : ["accelerate"];

    /// <returns>Whether some groups were left out.</returns>
    private static bool Options(StringBuilder page, Command command, HashSet<Option> typed)
    {
        var inherited = command.Parents.OfType<Command>().SelectMany(parent => parent.Options).Where(option => option.Recursive);
        var areLeftOut = false;
        foreach (var group in command.Options.Concat(inherited).Where(option => !option.Hidden).GroupBy(OptionGroups.Of).OrderBy(group => group.Key is null))
        {
            if (group.Key is { IsOptional: true } && typed.Count > 0 && !group.Any(typed.Contains) && (group.Key.Owner is null || !typed.Contains(group.Key.Owner)))
            {
                areLeftOut = true;
                continue;
            }
            page.AppendLine().AppendLine($"{group.Key?.Heading ?? OptionGroups.Rest}:");
            foreach (var option in group) Row(page, NameOf(option), DescriptionOf(option) + (typed.Contains(option) && IsSwitch(option) ? " (currently selected)" : ""));
        }
        return areLeftOut;
    }

    private static string NameOf(Argument argument) => argument.HelpName ?? argument.Name.ToUpperInvariant();

    private static string NameOf(Option option)
    {
        if (option is HelpOption) return "-h, --help";
        return option.Arity.MaximumNumberOfValues == 0 || IsSwitch(option) ? option.Name : $"{option.Name} {ValueOf(option)}";
    }

    private static string ValueOf(Option option)
    {
        if (option.HelpName is { } name) return name;
        var type = Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType;
        return type == typeof(int) || type == typeof(long) || type == typeof(double) ? "N" : "VALUE";
    }

    private static bool IsSwitch(Option option) => option.ValueType == typeof(bool);

    private static string DescriptionOf(Option option)
    {
        var text = option switch
        {
            HelpOption => "Show this page.",
            VersionOption => "Show the version.",
            _ => option.Description ?? "",
        };
        return option.HasDefaultValue && !IsSwitch(option) && option.GetDefaultValue() is { } value && value is not (string or System.Collections.IEnumerable)
            ? FormattableString.Invariant($"{text} Default: {value}.")
            : text;
    }

    private static void Row(StringBuilder page, string name, string? description)
    {
        page.Append("  ").Append(name);
        var lines = Wrap(description ?? "", Width - Column);
        var isBesides = name.Length + 4 <= Column;
        if (isBesides) page.Append(' ', Column - name.Length - 2);
        else page.AppendLine();
        for (var i = 0; i < lines.Count; i++)
        {
            if (i > 0 || !isBesides) page.Append(' ', Column);
            page.AppendLine(lines[i]);
        }
    }

    private static void Paragraph(StringBuilder page, string text)
    {
        foreach (var line in Wrap(text, Width)) page.AppendLine(line);
    }

    private static List<string> Wrap(string text, int width)
    {
        var lines = new List<string> { "" };
        foreach (var word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (lines[^1].Length == 0) lines[^1] = word;
            else if (lines[^1].Length + 1 + word.Length <= width) lines[^1] += " " + word;
            else lines.Add(word);
        }
        return lines;
    }
}
