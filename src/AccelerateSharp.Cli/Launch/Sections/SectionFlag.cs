using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>An option of <c>launch</c> that says what a key in a section of the configuration file says, and how workers hear of it.</summary>
/// <param name="Section">The section.</param>
/// <param name="Key">The key.</param>
/// <param name="Option">The option, with underscores.</param>
/// <param name="Variable">The variable of the workers; null for what no worker is told.</param>
/// <param name="Help">What it is for.</param>
internal sealed record SectionFlag(string Section, string Key, string Option, string? Variable, string Help)
{
    /// <summary>What the launcher passes on where nobody said anything; null for nothing.</summary>
    public string? Default { get; init; }

    /// <summary>Whether the option alone means true.</summary>
    public bool IsSwitch { get; init; }

    /// <summary>What stands for the value in the help.</summary>
    public string HelpName { get; init; } = "VALUE";

    /// <summary>Why it sets nothing, as the end of a sentence; null where it does.</summary>
    public string? WithoutEffect { get; init; }

    /// <summary>What its value has to be.</summary>
    public ConfigKey Type => ConfigKeys.Sections[Section].Find(Key)!;

    /// <summary>Its place in a file, for its line.</summary>
    public string Path => $"{Section}.{Type.Name}";
}
