using AccelerateSharp.Estimation.Architectures;
using AccelerateSharp.Hub;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Estimation;

/// <summary>Finds a model: a folder, a <c>.safetensors</c> file, a sharded index, a <c>config.json</c>, or a name on the Hub.</summary>
internal static class ModelLoader
{
    private const string ConfigName = "config.json";
    private const int ParallelRequests = 8;

    /// <exception cref="EstimationException">Nothing can be estimated from it.</exception>
    /// <exception cref="SafetensorsException">Its weights are damaged.</exception>
    /// <exception cref="HubException">The Hub has not got it, or not for you.</exception>
    public static async Task<LoadedModel> LoadAsync(string model, string revision, Func<string, string?> variable, CancellationToken cancellationToken)
    {
        if (Directory.Exists(model)) return FromFolder(model).ToModel();
        if (File.Exists(model)) return FromFile(model).ToModel();
        if (!HubNames.IsModelId(model) || Path.GetExtension(model) is ".json" or ".safetensors")
            throw new EstimationException($"There is no file or folder '{model}', and it is no name of a model on the Hub (organisation/name).");
        using var hub = new HubClient(HubOptions.FromEnvironment(variable));
        var found = await hub.FindAsync(model, revision, cancellationToken).ConfigureAwait(false);
        return (await FromHubAsync(hub, found, cancellationToken).ConfigureAwait(false)).ToModel();
    }

    private static ModelFiles FromFolder(string folder)
    {
        string[] files = [.. Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file))];
        var weights = ModelFiles.WeightsAmong(files, folder);
        return new ModelFiles(folder, ConfigBeside(Path.Combine(folder, ConfigName)), weights is null ? null : ReadWeights(Path.Combine(folder, weights)),
            files.FirstOrDefault(ModelFiles.IsOtherWeights));
    }

    private static ModelFiles FromFile(string file)
    {
        if (ModelFiles.IsOtherWeights(file)) return new ModelFiles(file, Config: null, Tensors: null, Path.GetFileName(file));
        if (file.EndsWith(".json", StringComparison.Ordinal) && !file.EndsWith(SafetensorsIndex.Suffix, StringComparison.Ordinal))
            return new ModelFiles(file, ModelConfig.Parse(File.ReadAllBytes(file), file), Tensors: null, OtherWeights: null);
        var config = ConfigBeside(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(file))!, ConfigName));
        return new ModelFiles(file, config, ReadWeights(file), OtherWeights: null, CountsWeights: true);
    }

    private static ModelConfig? ConfigBeside(string path) => File.Exists(path) ? ModelConfig.Parse(File.ReadAllBytes(path), path) : null;

    private static IReadOnlyList<SafetensorsTensor> ReadWeights(string path)
    {
        if (!path.EndsWith(SafetensorsIndex.Suffix, StringComparison.Ordinal)) return SafetensorsHeader.Read(path).Tensors;
        var index = SafetensorsIndex.Read(path);
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return index.Combine(index.Files.ToDictionary(file => file, file => SafetensorsHeader.Read(PathOf(file))), path);

        string PathOf(string file) => Path.Combine(folder, file) is var shard && File.Exists(shard)
            ? shard : throw new SafetensorsException($"{path}: the file '{file}', which the index names, is not beside it.");
    }

    private static async Task<ModelFiles> FromHubAsync(HubClient hub, HubModel model, CancellationToken cancellationToken)
    {
        ModelConfig? config = null;
        if (model.Files.Contains(ConfigName))
        {
            var path = await hub.DownloadAsync(model, ConfigName, cancellationToken).ConfigureAwait(false);
            config = ModelConfig.Parse(await File.ReadAllBytesAsync(path, cancellationToken).ConfigureAwait(false), $"{model.Id}/{ConfigName}");
        }
        var weights = ModelFiles.WeightsAmong(model.Files, model.Id);
        // Of a model that is known from its configuration, the cache may well hold that alone, or only some of its weights.
        var isEnough = model.IsFromCache && config is not null && KnownArchitectures.Derive(config) is not null;
        var tensors = weights is null || isEnough ? null : await ReadWeightsAsync(hub, model, weights, cancellationToken).ConfigureAwait(false);
        return new ModelFiles(model.Id, config, tensors, model.Files.FirstOrDefault(ModelFiles.IsOtherWeights));
    }

    private static async Task<IReadOnlyList<SafetensorsTensor>> ReadWeightsAsync(HubClient hub, HubModel model, string weights, CancellationToken cancellationToken)
    {
        if (!weights.EndsWith(SafetensorsIndex.Suffix, StringComparison.Ordinal))
            return (await hub.ReadHeaderAsync(model, weights, cancellationToken).ConfigureAwait(false)).Tensors;
        var index = SafetensorsIndex.Read(await hub.DownloadAsync(model, weights, cancellationToken).ConfigureAwait(false));
        var headers = new Dictionary<string, SafetensorsHeader>();
        await Parallel.ForEachAsync(index.Files, new ParallelOptions { MaxDegreeOfParallelism = ParallelRequests, CancellationToken = cancellationToken },
            async (file, stop) =>
            {
                var header = await hub.ReadHeaderAsync(model, file, stop).ConfigureAwait(false);
                lock (headers) headers.Add(file, header);
            }).ConfigureAwait(false);
        return index.Combine(headers, $"{model.Id}/{weights}");
    }
}
