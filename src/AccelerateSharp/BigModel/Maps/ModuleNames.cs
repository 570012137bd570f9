namespace AccelerateSharp;

/// <summary>Dotted names of modules and tensors.</summary>
internal static class ModuleNames
{
    /// <summary>Whether <paramref name="name"/> is the module itself or below it. By whole parts: <c>1</c> does not cover <c>10</c>.</summary>
    public static bool Covers(string module, string name) =>
        module.Length == 0 || name.StartsWith(module, StringComparison.Ordinal) && (name.Length == module.Length || name[module.Length] == '.');

    /// <summary>The name without its last part; empty for a name of one part.</summary>
    public static string ParentOf(string name) => name.LastIndexOf('.') is var dot and >= 0 ? name[..dot] : "";

    public static string Join(string module, string name) => module.Length == 0 ? name : name.Length == 0 ? module : $"{module}.{name}";
}
