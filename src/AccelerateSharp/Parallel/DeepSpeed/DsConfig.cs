using System.Text.Json.Nodes;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>A <c>ds_config.json</c>: every value under its dotted path, checked against DeepSpeed's keys.</summary>
internal sealed class DsConfig
{
    public const string Auto = "auto";

    private readonly OrderedDictionary<string, JsonNode?> _values = [];
    private readonly HashSet<string> _written = [];

    private DsConfig(string source) => Source = source;

    /// <summary>The file, or what else it came from: for messages.</summary>
    public string Source { get; }

    /// <summary>A configuration without a file.</summary>
    public static DsConfig Empty() => new("the plugin's settings");

    /// <summary>Reads a configuration as DeepSpeed does: JSON without comments, no key twice.</summary>
    /// <exception cref="ArgumentException">Everything that is wrong with it, in one message.</exception>
    public static DsConfig Parse(string text, string source)
    {
        var config = new DsConfig(source);
        var problems = new List<string>();
        try
        {
            if (JsonSyntax.Parse(text, allowTrailingCommas: false) is MapNode root) config.Take(root, "", problems);
            else problems.Add("it is not a JSON object.");
        }
        catch (ConfigSyntaxException exception)
        {
            problems.Add($"line {exception.Line}: {exception.Message}.");
        }

        Throw(problems, source);
        return config;
    }

    /// <summary>One error for many problems; nothing where there are none.</summary>
    public static void Throw(IReadOnlyList<string> problems, string source)
    {
        if (problems.Count == 0) return;
        throw new ArgumentException($"DeepSpeed: {(problems.Count == 1 ? "a problem" : $"{problems.Count} problems")} with {source}:{string.Concat(problems.Select(problem => "\n  " + problem))}");
    }

    /// <summary>Whether the key, or anything in the section, has a value.</summary>
    public bool Has(string path) => _values.ContainsKey(path) || _values.Keys.Any(key => key.StartsWith(path + ".", StringComparison.Ordinal));

    public bool IsAuto(string path) => _values.GetValueOrDefault(path) is JsonValue value && value.TryGetValue<string>(out var text) && text == Auto;

    /// <summary>A concrete number; null where there is none, or <c>"auto"</c>.</summary>
    public double? Number(string path) => _values.GetValueOrDefault(path) is JsonValue value && value.TryGetValue<double>(out var number) ? number : null;

    /// <inheritdoc cref="Number"/>
    public long? Whole(string path) => (long?)Number(path);

    /// <inheritdoc cref="Number"/>
    public bool? Switch(string path) => _values.GetValueOrDefault(path) is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : null;

    /// <inheritdoc cref="Number"/>
    public string? Text(string path) => _values.GetValueOrDefault(path) is JsonValue value && value.TryGetValue<string>(out var text) && text != Auto ? text : null;

    /// <summary>A list of texts, or one.</summary>
    public IReadOnlyList<string> Texts(string path) => _values.GetValueOrDefault(path) switch
    {
        JsonArray list => [.. list.Select(item => item?.ToString() ?? "")],
        JsonValue value when value.TryGetValue<string>(out var text) && text != Auto => [text],
        _ => [],
    };

    /// <summary>A list of numbers; null where there is none.</summary>
    public IReadOnlyList<double>? Numbers(string path) =>
        _values.GetValueOrDefault(path) is JsonArray list && list.All(item => item is JsonValue value && value.TryGetValue<double>(out _)) ? [.. list.Select(item => item!.GetValue<double>())] : null;

    /// <summary>Sets a value. It goes through text, after which a number is one of any type.</summary>
    public void Set(string path, JsonNode? value) => _values[path] = value is null ? null : JsonNode.Parse(value.ToJsonString());

    /// <summary>Sets what is <c>"auto"</c>; any other value stays.</summary>
    public void Fill(string path, JsonNode? value)
    {
        if (IsAuto(path)) Set(path, value);
    }

    /// <summary>The paths of a section's values.</summary>
    public IEnumerable<string> In(string section) => _values.Keys.Where(key => key.StartsWith(section + ".", StringComparison.Ordinal));

    /// <summary>Keys that were written, ask for something, and have no effect: those alike together, behind the reason.</summary>
    public IEnumerable<string> WithoutEffect(Func<string, string?> more)
    {
        var found = new List<(string Key, string Reason)>();
        foreach (var path in _written)
        {
            if (DsKeys.Find(path) is not { } key || !key.Asks(_values.GetValueOrDefault(path))) continue;
            if ((more(path) ?? key.Ignored) is not { } reason) continue;
            // A section that is switched off asks for nothing.
            var name = key.IsSection ? key.Path[..^2] : path;
            if (key.IsSection && Switch(name + ".enabled") == false) continue;
            found.Add((name, reason));
        }

        return found.Distinct().GroupBy(item => item.Reason).Select(group => $"{string.Join(", ", group.Select(item => item.Key.Replace("zero_optimization.", "", StringComparison.Ordinal)))}: {group.Key}");
    }

    /// <summary>The configuration as JSON, with whatever was filled in.</summary>
    public JsonObject ToJson()
    {
        var root = new JsonObject();
        foreach (var (path, value) in _values)
        {
            var names = path.Split('.');
            var parent = root;
            foreach (var name in names[..^1]) parent = (JsonObject)(parent[name] ??= new JsonObject());
            parent[names[^1]] = value?.DeepClone();
        }

        return root;
    }

    private void Take(MapNode map, string section, List<string> problems)
    {
        foreach (var entry in map.Entries)
        {
            var written = section.Length == 0 ? entry.Key : $"{section}.{entry.Key}";
            var path = DsKeys.Today(written);
            if (!_written.Add(path))
            {
                problems.Add($"line {entry.Line}: '{written}' is there twice.");
                continue;
            }

            var key = DsKeys.Find(path);
            if (entry.Value is MapNode inner && (key is null || key.IsSection))
            {
                _written.Remove(path);
                if (key is null && !DsKeys.NamesIn(path).Any())
                {
                    problems.Add(Unknown(entry, section, written));
                    continue;
                }

                if (inner.Entries.Count == 0) Set(path, new JsonObject());
                Take(inner, path, problems);
                continue;
            }

            if (key is null)
            {
                problems.Add(DsKeys.NamesIn(path).Any() ? $"line {entry.Line}: '{written}' must be an object." : Unknown(entry, section, written));
                continue;
            }

            var value = ToNode(entry.Value);
            if (Misfit(key.Kind, value) is { } expected)
            {
                problems.Add($"line {entry.Line}: '{written}' is {value?.ToJsonString() ?? "null"}; it must be {expected}.");
                continue;
            }

            if (key.Refused is { } reason && key.Asks(value) && (!key.IsSection || (entry.Key == "enabled" && section + ".*" == key.Path)))
                problems.Add($"line {entry.Line}: '{written}': {reason}.");
            Set(path, value);
        }
    }

    private static string Unknown(MapEntry entry, string section, string written) =>
        $"line {entry.Line}: there is no key '{written}'.{Spelling.Hint(entry.Key, DsKeys.NamesIn(section))}";

    private static JsonNode? ToNode(ConfigNode node) => node switch
    {
        ScalarNode { IsNull: true } => null,
        ScalarNode { IsPlain: true, Text: "true" } => JsonValue.Create(true),
        ScalarNode { IsPlain: true, Text: "false" } => JsonValue.Create(false),
        ScalarNode { IsPlain: true } scalar => JsonNode.Parse(scalar.Text),
        ScalarNode scalar => JsonValue.Create(scalar.Text),
        ListNode list => new JsonArray([.. list.Items.Select(ToNode)]),
        MapNode map => new JsonObject(map.Entries.Select(entry => KeyValuePair.Create(entry.Key, ToNode(entry.Value)))),
        _ => null,
    };

    /// <summary>What a value should have been; null where it is right.</summary>
    private static string? Misfit(DsKind kind, JsonNode? value)
    {
        if (value is null || kind == DsKind.Any) return null;
        if (value is not JsonValue scalar) return "a single value";
        if (scalar.TryGetValue<string>(out var text)) return text == Auto || kind == DsKind.Text ? null : $"{Name(kind)} or \"auto\"";
        return kind switch
        {
            DsKind.Switch when scalar.TryGetValue<bool>(out _) => null,
            DsKind.Whole when scalar.TryGetValue<double>(out var whole) && whole == Math.Floor(whole) => null,
            DsKind.Real when scalar.TryGetValue<double>(out _) => null,
            _ => $"{Name(kind)} or \"auto\"",
        };
    }

    private static string Name(DsKind kind) => kind switch
    {
        DsKind.Switch => "true, false",
        DsKind.Whole => "a whole number",
        DsKind.Real => "a number",
        _ => "a text",
    };
}
