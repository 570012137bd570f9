namespace AccelerateSharp;

/// <summary>Says for each module of a model, by its dotted name, where its weights live; the empty name is the whole model.</summary>
/// <remarks>An entry also covers everything below it, unless a longer name says otherwise.</remarks>
/// <example><code>
/// var map = new DeviceMap { ["model.embed_tokens"] = 0, ["model.layers"] = "cpu", ["lm_head"] = 0 };
/// </code></example>
public sealed class DeviceMap : OrderedDictionary<string, Placement>
{
    /// <summary>A map without entries.</summary>
    public DeviceMap() : base(StringComparer.Ordinal)
    {
    }

    internal DeviceMap(IEnumerable<KeyValuePair<string, Placement>> entries) : base(entries, StringComparer.Ordinal)
    {
    }

    /// <summary>A map that puts a whole model in one place.</summary>
    public static DeviceMap All(Placement placement) => new() { [""] = placement };

    /// <summary>The place of a module or tensor: that of the longest entry that covers it; null where none does.</summary>
    public Placement? Find(string name) => FindEntry(name) is { } entry ? this[entry] : default(Placement?);

    /// <summary>The entries in order, as <c>name: place</c>.</summary>
    public override string ToString() => string.Join(", ", this.Select(entry => $"{(entry.Key.Length == 0 ? "(whole model)" : entry.Key)}: {entry.Value}"));

    /// <summary>The longest entry that covers a module or tensor.</summary>
    internal string? FindEntry(string name)
    {
        for (var candidate = name; ; candidate = ModuleNames.ParentOf(candidate))
        {
            if (ContainsKey(candidate)) return candidate;
            if (candidate.Length == 0) return null;
        }
    }
}
