using AccelerateSharp.BigModel;
using static TorchSharp.torch;

namespace AccelerateSharp;

public static partial class BigModeling
{
    /// <summary>Writes tensors into an offload folder: a <c>.dat</c> file of bare little-endian bytes for each, and <c>index.json</c>. What else is there stays.</summary>
    /// <param name="folder">Made if it is not there.</param>
    /// <param name="stateDict">The tensors by name.</param>
    public static void OffloadStateDict(string folder, IEnumerable<KeyValuePair<string, Tensor>> stateDict)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(stateDict);
        using var opened = OffloadFolder.Open(folder);
        foreach (var (name, tensor) in stateDict) opened.Write(name, tensor);
        opened.Save();
    }

    /// <summary>The entries of modules: those with a module's name, or with a dotted name below it.</summary>
    public static Dictionary<string, TValue> ExtractSubmodulesStateDict<TValue>(IReadOnlyDictionary<string, TValue> stateDict, IEnumerable<string> submoduleNames)
    {
        ArgumentNullException.ThrowIfNull(stateDict);
        ArgumentNullException.ThrowIfNull(submoduleNames);
        List<string> modules = [.. submoduleNames];
        return stateDict.Where(entry => modules.Exists(module => ModuleNames.Covers(module, entry.Key))).ToDictionary(StringComparer.Ordinal);
    }
}
