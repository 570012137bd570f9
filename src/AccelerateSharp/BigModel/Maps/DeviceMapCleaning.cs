namespace AccelerateSharp.BigModel;

/// <summary>Makes a device map short: modules whose parts all live in one place get one entry.</summary>
internal static class DeviceMapCleaning
{
    public static DeviceMap Clean(DeviceMap map)
    {
        var result = new DeviceMap(map);
        Clean(result, "");
        return result;
    }

    private static void Clean(DeviceMap map, string module)
    {
        var below = Below(map, module);
        if (below.Count > 1 && below.Select(name => map[name]).Distinct().Count() == 1)
        {
            var (position, placement) = (map.IndexOf(below[0]), map[below[0]]);
            foreach (var name in below) map.Remove(name);
            if (map.ContainsKey(module)) map[module] = placement;
            else map.Insert(position, module, placement);
            return;
        }
        var start = module.Length == 0 ? 0 : module.Length + 1;
        var children = below.Select(name => name.IndexOf('.', start) is var dot and >= 0 ? name[..dot] : name).Distinct().ToList();
        foreach (var child in children) Clean(map, child);
    }

    private static List<string> Below(DeviceMap map, string module) =>
        [.. map.Keys.Where(name => name.Length > module.Length && ModuleNames.Covers(module, name))];
}
