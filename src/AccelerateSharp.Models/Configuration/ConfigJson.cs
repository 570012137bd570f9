using System.Text.Json;
using System.Text.Json.Serialization;

namespace AccelerateSharp.Models.Configuration;

/// <summary>The configurations in the Hub's JSON: snake_case, comments and trailing commas forgiven.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    ReadCommentHandling = JsonCommentHandling.Skip,
    AllowTrailingCommas = true,
    WriteIndented = true)]
[JsonSerializable(typeof(BertConfig))]
[JsonSerializable(typeof(Gpt2Config))]
[JsonSerializable(typeof(LlamaConfig))]
[JsonSerializable(typeof(LoraConfig))]
[JsonSerializable(typeof(ViTConfig))]
internal sealed partial class ConfigJson : JsonSerializerContext;
