using System.Globalization;

namespace AccelerateSharp.Configuration;

/// <summary>Gives the nodes of a file the types of their keys; what does not fit becomes a problem of the file.</summary>
internal sealed class ConfigBinder(ConfigFile file)
{
    /// <summary>Binds the top of the file.</summary>
    public ConfigSection Bind(MapNode map)
    {
        if (map.Entries.FirstOrDefault(entry => entry.Key == ConfigKeys.ComputeEnvironment)?.Value is ScalarNode { Text: ConfigKeys.SageMaker } cloud)
        {
            // None of its other keys would mean anything here.
            file.Refuse(ConfigKeys.DistributedType, cloud.Line,
                $"{ConfigKeys.ComputeEnvironment}: {ConfigKeys.SageMaker} is not supported; write a file for your own machines with `accelerate config`");
            return [];
        }
        var values = Bind(map, ConfigKeys.Root, section: "");
        if (!file.Has(ConfigKeys.DistributedType) || (values[ConfigKeys.DistributedType] is null && !file.IsRefused(ConfigKeys.DistributedType)))
        {
            file.Refuse(ConfigKeys.DistributedType, file.LineOf(ConfigKeys.DistributedType),
                $"{ConfigKeys.DistributedType} is missing; add it as one of NO, MULTI_CPU, MULTI_GPU, FSDP, DEEPSPEED");
        }
        return values;
    }

    private ConfigSection Bind(MapNode map, ConfigSchema schema, string section)
    {
        var values = new ConfigSection();
        var lines = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var entry in map.Entries)
        {
            var key = schema.Find(entry.Key);
            if (key is null)
            {
                Unknown(entry, schema, section);
                continue;
            }
            var name = key.NameToday ?? key.Name;
            var path = section.Length == 0 ? name : $"{section}.{name}";
            if (!lines.TryAdd(key.Name, entry.Line))
            {
                Error(entry.Line, $"{Named(entry.Key, section)} is here a second time; the first is in line {lines[key.Name]}");
                continue;
            }
            file.Place(path, entry.Line);
            if (entry.Value is ScalarNode { IsNull: true }) continue;
            if (Value(entry, key, path, section) is not { } value) continue;
            if (key.Ignored is { } reason && !IsInert(value)) Warning(entry.Line, $"{Named(entry.Key, section)} {reason}: it has no effect");
            if (key.NameToday is null) values[name] = value;
            else Translate(key, value, values, entry);
        }
        return values;
    }

    /// <summary>Keys of early versions, as what they are today; what the file says with today's key wins.</summary>
    private void Translate(ConfigKey key, ConfigValue value, ConfigSection values, MapEntry entry)
    {
        var today = key.NameToday!;
        if (values[today] is not null) return;
        switch (key.Name)
        {
            case "fp16":
                if (value is ConfigSwitch { Value: true }) values[today] = "fp16";
                break;
            case "dynamo_backend":
                if (value is ConfigText { Value: var backend } && !IsNo(backend))
                {
                    values[today] = new ConfigSection { ["dynamo_backend"] = backend };
                    Warning(entry.Line, "dynamo_backend is for torch.compile, which libtorch does not have: it has no effect");
                }
                break;
            default:
                values[today] = value;
                break;
        }
    }

    private ConfigValue? Value(MapEntry entry, ConfigKey key, string path, string section)
    {
        var value = key.Kind == ConfigKind.Section ? Section(entry.Value, key) : Typed(entry.Value, key);
        if (value is null)
        {
            var (found, hint) = entry.Value is ScalarNode scalar
                ? ($"'{scalar.Text}'", Spelling.Hint(scalar.Text, key.Choices))
                : (entry.Value is ListNode ? "a list" : "a section", "");
            file.Refuse(path, entry.Line, $"{Named(entry.Key, section)}: expected {key.Expectation}, found {found}.{hint}");
        }
        return value;
    }

    private ConfigSection? Section(ConfigNode node, ConfigKey key) => node is MapNode map ? Bind(map, key.Schema!, key.Name) : null;

    /// <summary>The value that a text stands for, for instance one of the command line; null where the key cannot have it.</summary>
    public static ConfigValue? FromText(string text, ConfigKey key) => Typed(new ScalarNode(1, text, IsPlain: true), key);

    private static ConfigValue? Typed(ConfigNode node, ConfigKey key) => (key.Kind, node) switch
    {
        (ConfigKind.Any, _) => Untyped(node),
        (ConfigKind.Text, ScalarNode text) => (ConfigText)text.Text,
        (ConfigKind.Names, ScalarNode text) => (ConfigText)text.Text,
        (ConfigKind.Names, ListNode list) when list.Items.All(item => item is ScalarNode) =>
            (ConfigText)string.Join(',', list.Items.Cast<ScalarNode>().Select(item => item.Text)),
        (ConfigKind.Whole, ScalarNode text) => Whole(text.Text),
        (ConfigKind.Real, ScalarNode text) => Whole(text.Text) ?? Real(text.Text),
        (ConfigKind.Switch, ScalarNode text) => Switch(text.Text),
        (ConfigKind.Choice, ScalarNode text) => Choice(text, key),
        (ConfigKind.SwitchOrChoice, ScalarNode text) => Switch(text.Text) ?? Choice(text, key),
        _ => null,
    };

    /// <summary>A value of which nothing is known but how it is written.</summary>
    public static ConfigValue? Untyped(ConfigNode node)
    {
        switch (node)
        {
            case ScalarNode { IsNull: true }:
                return null;
            case ScalarNode { IsPlain: true } plain:
                return plain.Text switch
                {
                    "true" or "True" or "TRUE" => true,
                    "false" or "False" or "FALSE" => false,
                    // A zero in front marks an octal number for some readers and none for others: it stays as it is.
                    ['0', >= '0' and <= '9', ..] => plain.Text,
                    var text => Whole(text) ?? Real(text) ?? text,
                };
            case ScalarNode quoted:
                return quoted.Text;
            case ListNode list:
                return new ConfigList([.. list.Items.Select(Untyped).OfType<ConfigValue>()]);
            default:
                var section = new ConfigSection();
                foreach (var entry in ((MapNode)node).Entries) section[entry.Key] = Untyped(entry.Value);
                return section;
        }
    }

    private static ConfigValue? Whole(string text)
    {
        if (int.TryParse(text.Replace("_", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) return number;
        return null;
    }

    private static ConfigValue? Real(string text)
    {
        var isNumber = double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out var number);
        return isNumber && double.IsFinite(number) ? number : null;
    }

    /// <summary>YAML 1.1's words for true and false, with quotation marks or without.</summary>
    private static ConfigValue? Switch(string text) => text.ToUpperInvariant() switch
    {
        "TRUE" or "YES" or "ON" or "Y" => true,
        "FALSE" or "NO" or "OFF" or "N" => false,
        _ => null,
    };

    private static ConfigValue? Choice(ScalarNode node, ConfigKey key)
    {
        if (key.IsNumbered && Whole(node.Text) is ConfigWhole { Value: var place } && place >= 1 && place <= key.Choices.Count) return key.Choices[(int)place - 1];
        if (key.Choices.FirstOrDefault(choice => choice.Equals(node.Text, StringComparison.OrdinalIgnoreCase)) is { } chosen) return chosen;
        // YAML 1.1 takes an unquoted NO for false, and writes it as such.
        return node.Text.Equals("false", StringComparison.OrdinalIgnoreCase) ? key.Choices.FirstOrDefault(IsNo) is { } no ? (ConfigText)no : null : null;
    }

    private static bool IsNo(string text) => text.Equals("no", StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether it is what the reference writes for "nothing".</summary>
    private static bool IsInert(ConfigValue value) => value switch
    {
        ConfigText { Value: var text } => text.Length == 0 || Switch(text) is ConfigSwitch { Value: false },
        ConfigSwitch { Value: var on } => !on,
        ConfigList { Items.Count: var count } => count == 0,
        ConfigSection section => section.Count == 0,
        _ => false,
    };

    private void Unknown(MapEntry entry, ConfigSchema schema, string section)
    {
        var elsewhere = section.Length > 0 && ConfigKeys.Root.Find(entry.Key) is not null
            ? " It belongs to the top of the file."
            : ConfigKeys.Sections.FirstOrDefault(other => other.Key != section && other.Value.Find(entry.Key) is not null) is { Key: { } home } ? $" It belongs to {home}." : null;
        Error(entry.Line, $"unknown key {Named(entry.Key, section)}.{elsewhere ?? Spelling.Hint(entry.Key, schema.Names)}");
    }

    private static string Named(string key, string section) => section.Length == 0 ? $"'{key}'" : $"'{key}' in {section}";

    private void Error(int line, string message) => file.Add(isError: true, line, message);

    private void Warning(int line, string message) => file.Add(isError: false, line, message);
}
