using TorchSharp.Modules;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Which linear layers of a model compute in float8, and why the others do not.</summary>
internal sealed record LayerChoice(IReadOnlyList<(string Name, Linear Layer)> Chosen, IReadOnlyList<(string Name, string Reason)> LeftAlone)
{
    public static LayerChoice Of(Module model, Fp8Settings settings)
    {
        var all = model.named_modules().Where(module => module.module is Linear).Select(module => (module.name, (Linear)module.module))
            .DistinctBy(module => module.Item2, (IEqualityComparer<Linear>)ReferenceEqualityComparer.Instance).ToList();
        // A model that is a layer itself.
        if (model is Linear itself) all = [("", itself)];
        var (chosen, left) = (new List<(string, Linear)>(), new List<(string, string)>());
        for (var i = 0; i < all.Count; i++)
        {
            var (name, layer) = all[i];
            if (Reason(name, layer, settings, settings.SkipsEnds && (i == 0 || i == all.Count - 1)) is { } reason) left.Add((name, reason));
            else chosen.Add((name, layer));
        }

        return new LayerChoice(chosen, left);
    }

    /// <summary>For the user, in one line.</summary>
    public string Describe()
    {
        var text = $"fp8: {Chosen.Count} of {Chosen.Count + LeftAlone.Count} linear layers compute in float8";
        return LeftAlone.Count == 0
            ? $"{text}."
            : $"{text}; left alone: {string.Join("; ", LeftAlone.GroupBy(layer => layer.Reason, layer => layer.Name).Select(group => $"{string.Join(", ", group)} ({group.Key})"))}.";
    }

    private static string? Reason(string name, Linear layer, Fp8Settings settings, bool isEnd)
    {
        var (input, output) = (layer.in_features, layer.out_features);
        if (input % Float8Quantizer.Alignment != 0 || output % Float8Quantizer.Alignment != 0)
            return $"{input} × {output}: float8 takes multiples of {Float8Quantizer.Alignment}";
        if (input * output < settings.MinWeightElements) return $"{input} × {output}: too small to gain";
        if (isEnd) return "the recipe leaves the first and the last layer out";
        return settings.Filter is { } filter && !filter(name, layer) ? "the recipe's filter" : null;
    }
}
