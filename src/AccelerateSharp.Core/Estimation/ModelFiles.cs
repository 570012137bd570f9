using System.Globalization;
using AccelerateSharp.Estimation.Architectures;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Estimation;

/// <summary>What was found of a model: its configuration, the headers of its weights, or both.</summary>
/// <param name="Name">What the user calls it.</param>
/// <param name="Config">Its <c>config.json</c>, or null.</param>
/// <param name="Tensors">The tensors of its weights, or null.</param>
/// <param name="OtherWeights">The name of a file of weights that is not read, or null.</param>
/// <param name="CountsWeights">Whether the weights themselves were named, so that they count, and the configuration gives the geometry alone.</param>
internal sealed record ModelFiles(
    string Name, ModelConfig? Config, IReadOnlyList<SafetensorsTensor>? Tensors, string? OtherWeights, bool CountsWeights = false)
{
    private const double TolerableDifference = 0.01;

    /// <summary>The file of weights to read out of those in a folder: the sharded index, <c>model.safetensors</c>, or the only one; null without any.</summary>
    public static string? WeightsAmong(IEnumerable<string> files, string name)
    {
        string[] all = [.. files.Where(file => !file.Contains('/', StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        string[] indexes = [.. all.Where(file => file.EndsWith(SafetensorsIndex.Suffix, StringComparison.Ordinal))];
        string[] single = [.. all.Where(file => file.EndsWith(".safetensors", StringComparison.Ordinal))];
        foreach (var usual in (string[])["model" + SafetensorsIndex.Suffix, "model.safetensors"])
        {
            if (all.Contains(usual)) return usual;
        }
        if (indexes.Length == 1) return indexes[0];
        return single.Length switch
        {
            0 => null,
            1 => single[0],
            _ => throw new EstimationException($"'{name}' holds several files of weights ({string.Join(", ", single.Take(4))}{(single.Length > 4 ? ", …" : "")}). "
                + "Name one of them: the path of a .safetensors file or of an index."),
        };
    }

    /// <summary>Whether this is a file of weights in another format.</summary>
    public static bool IsOtherWeights(string file) => Path.GetExtension(file) is ".bin" or ".pt" or ".pth" or ".ckpt" or ".h5" or ".msgpack" or ".gguf" or ".onnx";

    /// <summary>The model that these files make up. A configuration of a known architecture goes first: it tells the head and the buffers from the rest.</summary>
    public LoadedModel ToModel()
    {
        var derived = Config is null ? null : KnownArchitectures.Derive(Config);
        if (derived is null && Tensors is null) throw Nothing();
        var checkpoint = Tensors is null ? null : ModelInventory.FromCheckpoint(Tensors, derived?.Geometry);
        if (derived is null)
            return new LoadedModel(Name, checkpoint!, ["Counted from the weights' headers; without a config.json of a known architecture there are no activations."]);
        if (checkpoint is not null && CountsWeights)
            return new LoadedModel(Name, checkpoint, [$"Counted from the weights' headers ({checkpoint.Architecture}); activations by the config.json beside them."]);
        if (checkpoint is null) return new LoadedModel(Name, derived, [$"Derived from config.json ({derived.Architecture})."]);
        var note = Math.Abs(checkpoint.ParameterCount - derived.ParameterCount) <= TolerableDifference * derived.ParameterCount
            ? $"Derived from config.json ({derived.Architecture}); {checkpoint.Architecture}."
            : string.Create(CultureInfo.InvariantCulture,
                $"The weights hold {checkpoint.ParameterCount:N0} parameters ({checkpoint.Architecture}), but config.json stands for {derived.ParameterCount:N0}; counted is config.json.");
        return new LoadedModel(Name, derived, [note]);
    }

    private EstimationException Nothing() => new(
        $"'{Name}' has no safetensors weights"
        + (OtherWeights is null ? "" : $" ('{OtherWeights}' is not read: convert it to safetensors)")
        + (Config is null ? ", and no config.json." : $", and its config.json is of no known architecture ('{Config.ModelType}'; known are {KnownArchitectures.Names})."));
}
