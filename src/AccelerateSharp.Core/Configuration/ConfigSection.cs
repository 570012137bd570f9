using System.Collections;

namespace AccelerateSharp.Configuration;

/// <summary>Keys and their values, in the order of the alphabet; a value of null takes the key out.</summary>
internal sealed record ConfigSection : ConfigValue, IEnumerable<KeyValuePair<string, ConfigValue>>
{
    private readonly SortedDictionary<string, ConfigValue> _values = new(StringComparer.Ordinal);

    public int Count => _values.Count;

    public ConfigValue? this[string key]
    {
        get => _values.GetValueOrDefault(key);
        set
        {
            if (value is null) _values.Remove(key);
            else _values[key] = value;
        }
    }

    public string? Text(string key) => (this[key] as ConfigText)?.Value;

    public int? Whole(string key) => this[key] is ConfigWhole { Value: var value } ? (int)Math.Clamp(value, int.MinValue, int.MaxValue) : null;

    public bool? Switch(string key) => (this[key] as ConfigSwitch)?.Value;

    public bool Equals(ConfigSection? other) => other is not null && _values.SequenceEqual(other._values);

    public override int GetHashCode() => Count;

    public IEnumerator<KeyValuePair<string, ConfigValue>> GetEnumerator() => _values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
