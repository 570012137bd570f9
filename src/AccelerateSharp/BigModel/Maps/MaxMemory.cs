namespace AccelerateSharp;

/// <summary>How much memory a model's weights may take on each device.</summary>
/// <example><code>
/// var maxMemory = new MaxMemory { [0] = "20GiB", [1] = "20GiB", ["cpu"] = "100GiB" };
/// </code></example>
public sealed class MaxMemory : OrderedDictionary<Placement, MemorySize>
{
    /// <summary>No device yet: an empty one lets everything go to disk.</summary>
    public MaxMemory()
    {
    }

    internal MaxMemory(IEnumerable<KeyValuePair<Placement, MemorySize>> entries) : base(entries)
    {
    }

    internal IEnumerable<Placement> Gpus => Keys.Where(device => device.IsGpu).Order();

    internal long Of(Placement device) => TryGetValue(device, out var size) ? size.Bytes : 0;
}
