using System.Text.Json;
using System.Text.Json.Serialization;
using AccelerateSharp.Models.Configuration;

namespace AccelerateSharp;

/// <summary>What the <c>config.json</c> of every model on the Hub says.</summary>
/// <remarks>
/// Change a copy (<c>config with { … }</c>) rather than the configuration of a model that is there. Settings that a model of ours does not know are kept in <see cref="Other"/>, so that saving loses none.
/// </remarks>
public abstract record PretrainedConfig
{
    // Setters rather than "init": the JSON source generator resets properties of that kind which a file does not mention.

    /// <summary>The family: <c>llama</c>, <c>mistral</c>, <c>qwen2</c>, <c>gpt2</c>, <c>bert</c>, …</summary>
    public string ModelType { get; set; } = "";

    /// <summary>Class names of the models that were saved; the first is the one that is built.</summary>
    public IReadOnlyList<string>? Architectures { get; set; }

    /// <summary>Standard deviation of new weights.</summary>
    public double InitializerRange { get; set; } = 0.02;

    /// <summary>Whether the output projection is the embedding matrix.</summary>
    public bool TieWordEmbeddings { get; set; }

    /// <summary>The dtype of the saved weights, such as <c>bfloat16</c>.</summary>
    public string? TorchDtype { get; set; }

    /// <summary>The same under its newer name.</summary>
    public string? Dtype { get; set; }

    /// <summary>What is appended to a prompt of another length to fill a batch.</summary>
    public long? PadTokenId { get; set; }

    /// <summary>The token that starts a text.</summary>
    public long? BosTokenId { get; set; }

    /// <summary>The tokens that end a text: one number or several.</summary>
    [JsonConverter(typeof(TokenIdsConverter))]
    public IReadOnlyList<long>? EosTokenId { get; set; }

    /// <summary>Settings without a property of their own.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Other { get; set; }

    /// <summary>Reads a configuration of any known family.</summary>
    /// <param name="path">A <c>config.json</c>, or the folder that holds it.</param>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="InvalidDataException">It is no JSON, or lacks what its family needs.</exception>
    /// <exception cref="NotSupportedException">The family is not known.</exception>
    public static PretrainedConfig FromFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return ModelFamily.ReadConfig(ConfigFiles.Resolve(path)).Config;
    }
}
