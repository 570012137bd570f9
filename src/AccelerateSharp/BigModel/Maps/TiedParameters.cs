using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Parameters that several modules share.</summary>
internal static class TiedParameters
{
    /// <summary>The groups of names that are one parameter, each in ordinal order.</summary>
    public static List<IReadOnlyList<string>> Find(Module model) =>
        [.. ModelTensors.Of(model).Where(tensor => tensor.IsParameter && tensor.Names.Count > 1)
            .Select(tensor => (IReadOnlyList<string>)[.. tensor.Names.Order(StringComparer.Ordinal)])];

    /// <summary>Makes each group one parameter again: the first of its members that has values. A group without any is left alone.</summary>
    /// <exception cref="ArgumentException">A name is no parameter of the model.</exception>
    public static void Retie(Module model, IEnumerable<IReadOnlyList<string>> groups)
    {
        var byName = ModelTensors.Of(model).SelectMany(tensor => tensor.Names.Select(name => (name, tensor))).ToDictionary();
        foreach (var group in groups)
        {
            var members = group.Select(name => byName.TryGetValue(name, out var tensor) ? tensor
                : throw new ArgumentException($"'{name}' is no parameter of this {model.GetType().Name}.", nameof(groups))).ToList();
            if (members.Find(member => !member.IsEmpty) is not { } source) continue;
            foreach (var member in members.Where(member => member != source).Distinct()) member.Share(source);
        }
    }

    /// <summary>Says where a group is spread over devices, which costs a copy on each of them.</summary>
    public static void CheckOnSameDevice(IEnumerable<IReadOnlyList<string>> groups, DeviceMap map)
    {
        foreach (var group in groups)
        {
            if (group.Select(map.Find).Distinct().Count() < 2) continue;
            Notices.Say($"Tied parameters are on different devices: {string.Join(", ", group.Select(name => $"{name} on {map.Find(name)}"))}."
                + " Each device keeps a copy. Give their modules one device in the device map, or let it be inferred.");
        }
    }
}
