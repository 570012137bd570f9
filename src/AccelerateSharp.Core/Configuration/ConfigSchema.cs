namespace AccelerateSharp.Configuration;

/// <summary>The keys of a configuration, or of one of its sections.</summary>
internal sealed class ConfigSchema
{
    private readonly Dictionary<string, ConfigKey> _keys;
    private readonly string _prefix;

    /// <param name="prefix">What the names of the section begin with; may be left out in a file.</param>
    /// <param name="isOpen">Whether keys that are not known here are taken as they are.</param>
    /// <param name="keys">The keys.</param>
    public ConfigSchema(string prefix, bool isOpen, params IEnumerable<ConfigKey> keys)
    {
        _prefix = prefix;
        IsOpen = isOpen;
        _keys = keys.ToDictionary(key => key.Name, StringComparer.Ordinal);
    }

    public bool IsOpen { get; }

    /// <summary>The names to write today.</summary>
    public IEnumerable<string> Names => _keys.Values.Where(key => key.NameToday is null && key.Ignored is null).Select(key => key.Name);

    /// <summary>The key of that name, with the section's prefix or without it.</summary>
    public ConfigKey? Find(string name)
    {
        var key = _keys.GetValueOrDefault(name)
            ?? (_prefix.Length == 0 ? null : _keys.GetValueOrDefault(_prefix + name))
            ?? (_prefix.Length > 0 && name.StartsWith(_prefix, StringComparison.Ordinal) ? _keys.GetValueOrDefault(name[_prefix.Length..]) : null);
        return key ?? (IsOpen ? new ConfigKey(name, ConfigKind.Any) : null);
    }
}
