using System.Text.Json;
using AccelerateSharp.BigModel;
using AccelerateSharp.Files;
using AccelerateSharp.Models.Configuration;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Internal;

/// <summary>Weights and configuration of a model, from and to a folder in the layout of the Hub.</summary>
internal static class WeightLoading
{
    /// <summary>Gives a model without weights those of a checkpoint.</summary>
    public static void Fill(PretrainedModel model, string folder, ScalarType? dtype, Device device)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        using var checkpoint = SafetensorsCheckpoint.Open(folder);
        var (reads, created, used) = (new List<KeyValuePair<string, Tensor>>(), new List<string>(), new HashSet<string>(StringComparer.Ordinal));
        foreach (var tensor in ModelTensors.Of(model).Where(tensor => tensor.IsPersistent))
        {
            var saved = tensor.Names.Select(name => model.NameInCheckpoint(name, checkpoint.Contains)).FirstOrDefault(name => name is not null);
            var savedDtype = saved is null ? tensor.Dtype : Check(model, checkpoint.Describe(saved), tensor, folder);
            var wanted = dtype is { } given && tensor.Dtype.IsFloatingPoint() ? given : savedDtype;
            var value = empty(tensor.Shape, wanted, device);
            tensor.Put(value);
            if (saved is null)
            {
                created.Add(tensor.Name);
                model.Initialize(tensor.Name, value);
                continue;
            }
            reads.Add(new(saved, value));
            foreach (var name in tensor.Names) if (model.NameInCheckpoint(name, checkpoint.Contains) is { } alias) used.Add(alias);
        }
        if (reads.Count == 0)
        {
            throw new InvalidDataException(
                $"{folder} holds none of the weights of {model.GetName()}. It has {Some([.. checkpoint.Names])}; the model needs {Some(created)}. Are names saved with a prefix that must go?");
        }
        checkpoint.ReadInto(reads);
        if (created.Count > 0) Notices.Say($"{folder} lacks {created.Count} weights of {model.GetName()}, which are new: {Some(created)}. Train them before use.");
        var unused = checkpoint.Names.Where(name => !used.Contains(name) && !model.IsDerived(name)).ToList();
        if (unused.Count > 0) Notices.Say($"{folder} holds {unused.Count} tensors that {model.GetName()} does not have: {Some(unused)}.");
    }

    public static void Save(PretrainedModel model, string folder, IReadOnlyDictionary<string, Tensor> weights, long maxShardSize)
    {
        // An adapter is saved by itself.
        weights = weights.Where(entry => !LoraAdapter.IsAdapterTensor(entry.Key)).ToDictionary();
        var family = ModelFamily.Of(model.Config.ModelType, nameof(PretrainedModel.SavePretrained));
        var dtype = weights.Values.First(tensor => tensor.is_floating_point()).dtype.HubName();
        var config = model.Config with { Architectures = [model.GetName()], TorchDtype = dtype, Dtype = model.Config.Dtype is null ? null : dtype };
        RefuseShards(BigModeling.InitEmptyWeights(() => family.Build(config, ScalarType.Float32, device: null)), weights);
        SafetensorsCheckpoint.Save(weights, folder, maxShardSize);
        AtomicFile.Write(Path.Combine(folder, ConfigFiles.Name), JsonSerializer.Serialize(config, family.Json) + "\n");
    }

    /// <summary>A rank's share of a sharded model would be saved as if it were the whole.</summary>
    private static void RefuseShards(PretrainedModel whole, IReadOnlyDictionary<string, Tensor> weights)
    {
        using (whole)
            foreach (var tensor in ModelTensors.Of(whole))
                if (weights.TryGetValue(tensor.Name, out var value) && !value.shape.SequenceEqual(tensor.Shape))
                {
                    throw new InvalidOperationException(
                        $"'{tensor.Name}' is [{string.Join(", ", value.shape)}], but the configuration of this {whole.GetName()} makes it [{string.Join(", ", tensor.Shape)}]. "
                        + "A model that is sharded over processes is saved with the weights that Accelerator.GetStateDict returns: SavePretrained(folder, weights).");
                }
    }

    private static ScalarType Check(PretrainedModel model, SafetensorsTensorInfo saved, ModelTensor tensor, string folder)
    {
        if (!saved.Shape.SequenceEqual(tensor.Shape))
        {
            throw new InvalidDataException(
                $"{folder}: '{saved.Name}' is [{string.Join(", ", saved.Shape)}], but {model.GetName()} as {ConfigFiles.Name} describes it needs [{string.Join(", ", tensor.Shape)}] for '{tensor.Name}'.");
        }
        if (tensor.Dtype.IsFloatingPoint() && !saved.Dtype.IsFloatingPoint())
        {
            throw new NotSupportedException(
                $"{saved.File}: '{saved.Name}' is saved as {saved.Dtype}, not in floating point: weights that are quantized are not read. Save them in bfloat16 or float32 first.");
        }
        return saved.Dtype;
    }

    private static string Some(List<string> names) => string.Join(", ", names.Take(5)) + (names.Count > 5 ? ", …" : "");
}
