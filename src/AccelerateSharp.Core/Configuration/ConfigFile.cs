using System.Text;

namespace AccelerateSharp.Configuration;

/// <summary>A configuration file that was read, and all that is wrong with it.</summary>
internal sealed class ConfigFile
{
    private readonly List<ConfigProblem> _problems = [];
    private readonly Dictionary<string, int> _lines = new(StringComparer.Ordinal);
    private readonly HashSet<string> _refused = new(StringComparer.Ordinal);

    private ConfigFile(string path) => Path = path;

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>What it says, as far as it could be understood.</summary>
    public ClusterConfig Config { get; private set; } = new([]);

    /// <summary>All problems, in the order of their lines.</summary>
    public IReadOnlyList<ConfigProblem> Problems => _problems;

    public IEnumerable<ConfigProblem> Errors => _problems.Where(problem => problem.IsError);

    public IEnumerable<ConfigProblem> Warnings => _problems.Where(problem => !problem.IsError);

    /// <summary>Reads a file: JSON where its name ends with <c>.json</c> or its text begins as JSON does, else YAML.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static ConfigFile Read(string path) => Parse(path, File.ReadAllText(path));

    /// <summary>Reads a text as if it stood in a file.</summary>
    public static ConfigFile Parse(string path, string text)
    {
        var file = new ConfigFile(path);
        file.Understand(text);
        // Equal lines keep their order: List.Sort would not.
        var ordered = file._problems.OrderBy(problem => problem.Line).ToList();
        file._problems.Clear();
        file._problems.AddRange(ordered);
        return file;
    }

    /// <summary>The nodes of a text; null where it is empty.</summary>
    /// <exception cref="ConfigSyntaxException">What is neither YAML nor JSON.</exception>
    public static ConfigNode? Nodes(string path, string text)
    {
        if (path.EndsWith(".json", StringComparison.OrdinalIgnoreCase)) return JsonSyntax.Parse(text);
        if (!text.AsSpan().TrimStart().StartsWith("{")) return YamlSyntax.Parse(text);
        try
        {
            return JsonSyntax.Parse(text);
        }
        catch (ConfigSyntaxException)
        {
            return YamlSyntax.Parse(text);
        }
    }

    /// <summary>The line of a key, as <c>key</c> or <c>section.key</c>; of its section or 1 where it is not there.</summary>
    public int LineOf(string key) =>
        _lines.TryGetValue(key, out var line) || _lines.TryGetValue(key.Split('.')[0], out line) ? line : 1;

    public void Add(bool isError, int line, string message) => _problems.Add(new ConfigProblem(isError, Path, line, message));

    /// <summary>Whether the key is there with a value that could not be used.</summary>
    public bool IsRefused(string key) => _refused.Contains(key);

    /// <summary>Whether the key is there at all.</summary>
    public bool Has(string key) => _lines.ContainsKey(key);

    /// <summary>Every error as a line of its own.</summary>
    public string ErrorText()
    {
        var text = new StringBuilder();
        foreach (var problem in Errors) text.Append('\n').Append(problem);
        return text.ToString().TrimStart('\n');
    }

    internal void Place(string key, int line) => _lines.TryAdd(key, line);

    internal void Refuse(string key, int line, string message)
    {
        _refused.Add(key);
        Add(isError: true, line, message);
    }

    private void Understand(string text)
    {
        try
        {
            switch (Nodes(Path, text))
            {
                case null or ScalarNode { IsNull: true }:
                    Add(isError: true, 1, "the file is empty; write one with `accelerate config`");
                    break;
                case MapNode map:
                    Config = new ClusterConfig(new ConfigBinder(this).Bind(map));
                    ConfigRules.Check(this);
                    break;
                case var other:
                    Add(isError: true, other.Line, "expected keys and values ('num_processes: 2'), found " + (other is ListNode ? "a list" : "a single value"));
                    break;
            }
        }
        catch (ConfigSyntaxException e)
        {
            Add(isError: true, e.Line, e.Message);
        }
    }
}
