using System.Text.Json;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>One file of <c>scripts/golden_logits.py</c>: what Hugging Face's model computes, and the formula for its weights.</summary>
internal sealed class Golden : IDisposable
{
    private readonly JsonDocument _document;

    private Golden(JsonDocument document) => _document = document;

    public JsonElement Root => _document.RootElement;

    public static string Folder => Path.Combine(AppContext.BaseDirectory, "Golden");

    public static Golden Read(string name) => new(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, name + ".json"))));

    public void Dispose() => _document.Dispose();

    /// <summary>The model of the case with the weights of the formula.</summary>
    public PretrainedModel Build()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var file = Path.Combine(folder, "config.json");
        File.WriteAllText(file, Root.GetProperty("config").GetRawText());
        var model = PretrainedModel.FromConfig(file);
        Directory.Delete(folder, recursive: true);
        model.eval();
        using var noGradient = no_grad();
        var parameters = model.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter);
        foreach (var name in Root.GetProperty("parameters").EnumerateArray().Select(entry => entry.GetString()!))
        {
            var own = HubName(name);
            Assert.True(parameters.ContainsKey(own), $"{Root.GetProperty("case")}: no parameter {own}");
            parameters[own].detach().copy_(Weight(name, parameters[own].shape));
        }
        return model;
    }

    /// <summary>The name in checkpoints: transformers 5 calls some of its modules otherwise, and renames them when it loads and saves.</summary>
    public static string HubName(string name) => !name.StartsWith("vit.layers.", StringComparison.Ordinal) ? name : name
        .Replace("vit.layers.", "vit.encoder.layer.", StringComparison.Ordinal)
        .Replace("attention.q_proj", "attention.attention.query", StringComparison.Ordinal)
        .Replace("attention.k_proj", "attention.attention.key", StringComparison.Ordinal)
        .Replace("attention.v_proj", "attention.attention.value", StringComparison.Ordinal)
        .Replace("attention.o_proj", "attention.output.dense", StringComparison.Ordinal)
        .Replace("mlp.fc1", "intermediate.dense", StringComparison.Ordinal)
        .Replace("mlp.fc2", "output.dense", StringComparison.Ordinal);

    public ModelInputs Inputs() => new()
    {
        InputIds = Find("input_ids"),
        AttentionMask = Find("attention_mask"),
        PositionIds = Find("position_ids"),
        TokenTypeIds = Find("token_type_ids"),
        PixelValues = Root.TryGetProperty("images", out var shape) ? Uniform("pixel_values", [.. shape.EnumerateArray().Select(size => size.GetInt64())]) : null,
    };

    /// <summary>Integers of any depth, as a tensor.</summary>
    public Tensor? Find(string name)
    {
        if (!Root.TryGetProperty(name, out var value)) return null;
        var shape = new List<long>();
        for (var level = value; level.ValueKind == JsonValueKind.Array; level = level[0]) shape.Add(level.GetArrayLength());
        return tensor(Flatten(value).ToArray()).view([.. shape]);
    }

    public Tensor Logits() => tensor(Root.GetProperty("logits").EnumerateArray().Select(value => value.GetSingle()).ToArray());

    private static IEnumerable<long> Flatten(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().SelectMany(Flatten) : [value.GetInt64()];

    private static Tensor Weight(string name, long[] shape)
    {
        var values = Uniform(name, shape);
        if (shape.Length > 1) return values * 0.25f;
        return name.EndsWith("bias", StringComparison.Ordinal) ? values * 0.125f : 1 + values * 0.25f;
    }

    /// <summary>The script's <c>uniform</c>: FNV-1a of the name, mixed with the index; in [-1, 1), exact in float32.</summary>
    private static Tensor Uniform(string name, long[] shape)
    {
        var seed = 2166136261u;
        foreach (var letter in name) seed = (seed ^ letter) * 16777619u;
        var values = new float[shape.Aggregate(1L, (product, size) => product * size)];
        for (var i = 0; i < values.Length; i++)
        {
            var x = seed + ((uint)i * 2654435761u);
            x = (x ^ (x >> 16)) * 0x85EBCA6B;
            x = (x ^ (x >> 13)) * 0xC2B2AE35;
            x ^= x >> 16;
            values[i] = (float)(((x >> 8) / 8388608.0) - 1);
        }
        return tensor(values).view(shape);
    }
}
