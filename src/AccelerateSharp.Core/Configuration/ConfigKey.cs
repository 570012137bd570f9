namespace AccelerateSharp.Configuration;

/// <summary>What the value of a key has to be.</summary>
internal enum ConfigKind
{
    /// <summary>Text.</summary>
    Text,

    /// <summary>Names, as a list or separated by commas.</summary>
    Names,

    /// <summary>A whole number.</summary>
    Whole,

    /// <summary>Any number.</summary>
    Real,

    /// <summary>True or false.</summary>
    Switch,

    /// <summary>One of a few words.</summary>
    Choice,

    /// <summary>True, false, or one of a few words.</summary>
    SwitchOrChoice,

    /// <summary>A section with keys of its own.</summary>
    Section,

    /// <summary>Whatever is written there.</summary>
    Any,
}

/// <summary>A key that a configuration may have.</summary>
internal sealed record ConfigKey(string Name, ConfigKind Kind)
{
    /// <summary>The words that are allowed, for a choice.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>Whether a number stands for the word of that place, counted from 1, as in files of early versions.</summary>
    public bool IsNumbered { get; init; }

    /// <summary>The keys inside, for a section.</summary>
    public ConfigSchema? Schema { get; init; }

    /// <summary>Why the key has no effect here, as the end of a sentence that begins with "it"; null where it has one.</summary>
    public string? Ignored { get; init; }

    /// <summary>The name that this key has today, for a key of an early version or of the reference's documentation.</summary>
    public string? NameToday { get; init; }

    /// <summary>What is expected, for a message.</summary>
    public string Expectation => Kind switch
    {
        ConfigKind.Text => "text",
        ConfigKind.Names => "a list of names, or names separated by commas",
        ConfigKind.Whole => "a whole number",
        ConfigKind.Real => "a number",
        ConfigKind.Switch => "true or false",
        ConfigKind.Choice => "one of " + string.Join(", ", Choices),
        ConfigKind.SwitchOrChoice => "true, false or one of " + string.Join(", ", Choices),
        ConfigKind.Section => "a section of keys and values",
        _ => "a value",
    };
}
