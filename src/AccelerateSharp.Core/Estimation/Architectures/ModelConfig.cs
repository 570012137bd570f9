using System.Text.Json;

namespace AccelerateSharp.Estimation.Architectures;

/// <summary>A model's <c>config.json</c>, read with an error for each thing that is missing or makes no sense.</summary>
internal sealed class ModelConfig
{
    private const int MaxExtent = 1 << 26;

    private readonly JsonElement _root;
    private readonly string _source;

    private ModelConfig(JsonElement root, string source)
    {
        _root = root;
        _source = source;
        ModelType = Text("model_type") ?? "";
        Architecture = _root.TryGetProperty("architectures", out var names) && names.ValueKind == JsonValueKind.Array && names.GetArrayLength() > 0
            && names[0].ValueKind == JsonValueKind.String ? names[0].GetString()! : "";
    }

    /// <summary>The family, for instance <c>llama</c>.</summary>
    public string ModelType { get; }

    /// <summary>The class with its head, for instance <c>LlamaForCausalLM</c>; empty where the file does not say.</summary>
    public string Architecture { get; }

    public static ModelConfig Parse(ReadOnlyMemory<byte> json, string source)
    {
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new ModelConfig(document.RootElement.Clone(), source)
                : throw new EstimationException($"{source}: a config is a JSON object.");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new EstimationException($"{source}: this is no valid JSON: {e.Message}", e);
        }
    }

    /// <summary>An extent that must be there.</summary>
    public int Count(string key) => CountOrNull(key) ?? throw new EstimationException($"{_source}: '{key}' is missing; a {ModelType} model needs it.");

    public int Count(string key, int absent) => CountOrNull(key) ?? absent;

    public bool Flag(string key, bool absent) => !_root.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null ? absent
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
        : throw new EstimationException($"{_source}: '{key}' must be true or false.");

    /// <summary>Whether this is a number above zero.</summary>
    public bool IsPositive(string key, double absent) =>
        (_root.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : absent) > 0;

    /// <summary>The number of classes of a classifier.</summary>
    public int LabelCount => _root.TryGetProperty("id2label", out var labels) && labels.ValueKind == JsonValueKind.Object
        ? labels.EnumerateObject().Count() : Count("num_labels", 2);

    private string? Text(string key) => _root.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private int? CountOrNull(string key)
    {
        if (!_root.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null) return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var count) && count is > 0 and <= MaxExtent
            ? count : throw new EstimationException($"{_source}: '{key}' is {value.GetRawText()}; it must be a whole number from 1 to {MaxExtent}.");
    }
}
