using System.Text.Json;
using System.Text.Json.Serialization;
using AccelerateSharp.Models.Configuration;

namespace AccelerateSharp;

/// <summary>What the <c>config.json</c> of every model on the Hub says.</summary>
/// <remarks>Settings that a model of ours does not know are kept in <see cref="Other"/>, so that saving loses none.</remarks>
public abstract record PretrainedConfig
{
    /// <summary>The family: <c>llama</c>, <c>mistral</c>, <c>qwen2</c>, <c>gpt2</c>, <c>bert</c>, …</summary>
    public string ModelType { get; init; } = "";

    /// <summary>Class names of the models that were saved; the first is the one that is built.</summary>
    public IReadOnlyList<string>? Architectures { get; init; }

    /// <summary>Standard deviation of new weights.</summary>
    public double InitializerRange { get; init; } = 0.02;

    /// <summary>Whether the output projection is the embedding matrix.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>The dtype of the saved weights, such as <c>bfloat16</c>.</summary>
    public string? TorchDtype { get; init; }

    /// <summary>The same under its newer name.</summary>
    public string? Dtype { get; init; }

    /// <summary>What is appended to a prompt of another length to fill a batch.</summary>
    public long? PadTokenId { get; init; }

    /// <summary>The token that starts a text.</summary>
    public long? BosTokenId { get; init; }

    /// <summary>The tokens that end a text: one number or several.</summary>
    [JsonConverter(typeof(TokenIdsConverter))]
    public IReadOnlyList<long>? EosTokenId { get; init; }

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
