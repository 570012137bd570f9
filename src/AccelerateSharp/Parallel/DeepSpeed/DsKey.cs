using System.Text.Json.Nodes;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>What the value of a key may be; <c>"auto"</c> may stand for any of them but <see cref="Any"/>.</summary>
internal enum DsKind
{
    Whole,
    Real,
    Switch,
    Text,
    Any,
}

/// <summary>A key of <c>ds_config.json</c> and what becomes of it.</summary>
/// <param name="Path">The dotted path; <c>section.*</c> stands for all that a section may hold.</param>
/// <param name="Kind">What its value may be.</param>
internal sealed record DsKey(string Path, DsKind Kind)
{
    /// <summary>Why the key has no effect; null where it has one.</summary>
    public string? Ignored { get; init; }

    /// <summary>Why a value that switches the key on is an error; null where it is none.</summary>
    public string? Refused { get; init; }

    /// <summary>A number that asks for nothing.</summary>
    public double Neutral { get; init; }

    public bool IsSection => Path.EndsWith(".*", StringComparison.Ordinal);

    /// <summary>Whether a path is this key, or inside of its section.</summary>
    public bool Covers(string path) =>
        IsSection ? path.StartsWith(Path.AsSpan(0, Path.Length - 1), StringComparison.Ordinal) || path.AsSpan().SequenceEqual(Path.AsSpan(0, Path.Length - 2)) : path == Path;

    /// <summary>Whether a value asks for something; false, null, <c>"none"</c> and the neutral number do not.</summary>
    public bool Asks(JsonNode? value) => value switch
    {
        null => false,
        JsonValue scalar when scalar.TryGetValue<bool>(out var flag) => flag,
        JsonValue scalar when scalar.TryGetValue<double>(out var number) => number != Neutral,
        JsonValue scalar when scalar.TryGetValue<string>(out var text) => !text.Equals("none", StringComparison.OrdinalIgnoreCase),
        _ => true,
    };
}
