using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using AccelerateSharp.Models.Decoders;
using AccelerateSharp.Models.Encoders;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Configuration;

/// <summary>The models of one <c>model_type</c>: how its configuration is read and what is built from it.</summary>
/// <param name="Types">The values of <c>model_type</c>.</param>
/// <param name="Json">How the configuration is read and written.</param>
/// <param name="Create">Builds the model of an architecture's class name.</param>
internal sealed record ModelFamily(
    IReadOnlyList<string> Types, JsonTypeInfo Json, Func<PretrainedConfig, string, ScalarType, Device?, PretrainedModel> Create)
{
    private static readonly ModelFamily[] _all = [DecoderFamilies.Llama, DecoderFamilies.Gpt2, EncoderFamilies.Bert, EncoderFamilies.ViT];

    /// <exception cref="NotSupportedException">No model of ours is of this type.</exception>
    public static ModelFamily Of(string modelType, string where) =>
        Array.Find(_all, family => family.Types.Contains(modelType)) ?? throw new NotSupportedException(
            $"{where}: models of the type '{modelType}' are not known. Known are {string.Join(", ", _all.SelectMany(family => family.Types))}.");

    /// <summary>Reads a <c>config.json</c>.</summary>
    public static (ModelFamily Family, PretrainedConfig Config) ReadConfig(string file)
    {
        var bytes = File.ReadAllBytes(file);
        try
        {
            using var document = JsonDocument.Parse(bytes, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("model_type", out var type) || type.ValueKind != JsonValueKind.String)
                throw new InvalidDataException($"{file}: 'model_type' is missing, so the model's family is not known.");
            var family = Of(type.GetString()!, file);
            return (family, (PretrainedConfig)document.RootElement.Deserialize(family.Json)!);
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{file}: {exception.Message}", exception);
        }
    }

    /// <summary>Builds the model that a configuration describes.</summary>
    public PretrainedModel Build(PretrainedConfig config, ScalarType dtype, Device? device) =>
        Create(config, config.Architectures?.FirstOrDefault() ?? "", dtype, device);
}
