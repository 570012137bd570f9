namespace AccelerateSharp.BigModel;

/// <summary>Finds the layers that share parameters with a layer and must go where it goes.</summary>
internal sealed class TieLookup(IReadOnlyList<IReadOnlyList<string>> groups, ModuleSizes sizes)
{
    /// <summary>The waiting layers that hold a parameter tied into <paramref name="layer"/>, and the bytes that they add to it.</summary>
    /// <remarks>In the order of the tied names. A tied parameter itself is counted once, with the layer.</remarks>
    public (IReadOnlyList<Layer> Layers, long Bytes) Outside(string layer, IReadOnlyList<Layer> queue)
    {
        var layers = new List<Layer>();
        var bytes = 0L;
        foreach (var group in groups)
        {
            if (!group.Any(name => ModuleNames.Covers(layer, name))) continue;
            foreach (var name in group.Where(name => !ModuleNames.Covers(layer, name)))
            {
                // What has its place already no longer waits.
                if (queue.FirstOrDefault(waiting => ModuleNames.Covers(waiting.Name, name)) is not { Name: not null } holder) continue;
                layers.Add(holder);
                bytes += sizes[holder.Name] - sizes[name];
            }
        }
        return (layers, bytes);
    }
}
