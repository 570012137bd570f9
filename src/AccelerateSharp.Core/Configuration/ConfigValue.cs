namespace AccelerateSharp.Configuration;

/// <summary>A value of a configuration file: text, number, switch, list or section.</summary>
internal abstract record ConfigValue
{
    private protected ConfigValue()
    {
    }

    public static implicit operator ConfigValue(string value) => new ConfigText(value);

    public static implicit operator ConfigValue(long value) => new ConfigWhole(value);

    public static implicit operator ConfigValue(double value) => new ConfigReal(value);

    public static implicit operator ConfigValue(bool value) => new ConfigSwitch(value);
}

/// <summary>Text, whatever it looks like.</summary>
internal sealed record ConfigText(string Value) : ConfigValue;

/// <summary>A whole number.</summary>
internal sealed record ConfigWhole(long Value) : ConfigValue;

/// <summary>A number with a fraction or an exponent.</summary>
internal sealed record ConfigReal(double Value) : ConfigValue;

/// <summary>True or false.</summary>
internal sealed record ConfigSwitch(bool Value) : ConfigValue;

/// <summary>A list; two of them are equal when their items are.</summary>
internal sealed record ConfigList(IReadOnlyList<ConfigValue> Items) : ConfigValue
{
    public bool Equals(ConfigList? other) => other is not null && Items.SequenceEqual(other.Items);

    public override int GetHashCode() => Items.Count;
}
