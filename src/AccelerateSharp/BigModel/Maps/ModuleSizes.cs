using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Bytes of every module and tensor of a model, by dotted name; the empty name is the whole model.</summary>
internal sealed class ModuleSizes
{
    private readonly OrderedDictionary<string, long> _bytes = [];

    private ModuleSizes(IEnumerable<ModelTensor> tensors, ScalarType? dtype, IReadOnlyDictionary<string, ScalarType>? specialDtypes)
    {
        _bytes[""] = 0;
        foreach (var tensor in tensors)
        {
            var bytes = tensor.Value.numel() * ElementSize(tensor, dtype, specialDtypes);
            for (var name = tensor.Name; ; name = ModuleNames.ParentOf(name))
            {
                _bytes[name] = _bytes.GetValueOrDefault(name) + bytes;
                if (name.Length == 0) break;
            }
        }
    }

    /// <summary>Zero for what holds no tensor, or only ones that are counted under another name.</summary>
    public long this[string name] => _bytes.GetValueOrDefault(name);

    public long Total => this[""];

    public IReadOnlyDictionary<string, long> All => _bytes;

    /// <param name="model">The model, of which each tensor counts once, under its first name.</param>
    /// <param name="dtype">What floating-point weights are loaded as; they only become smaller by it.</param>
    /// <param name="specialDtypes">What single tensors are loaded as.</param>
    /// <param name="buffersOnly">Whether parameters are left out.</param>
    public static ModuleSizes Of(Module model, ScalarType? dtype = null, IReadOnlyDictionary<string, ScalarType>? specialDtypes = null, bool buffersOnly = false) =>
        new(ModelTensors.Of(model).Where(tensor => !buffersOnly || !tensor.IsParameter), dtype, specialDtypes);

    /// <summary>Names that are no prefix of another one.</summary>
    public static List<string> Leaves(IReadOnlyCollection<string> names)
    {
        var parents = names.Where(name => name.Contains('.')).Select(ModuleNames.ParentOf).ToHashSet();
        return [.. names.Where(name => name.Length > 0 && !parents.Contains(name))];
    }

    private static long ElementSize(ModelTensor tensor, ScalarType? dtype, IReadOnlyDictionary<string, ScalarType>? specialDtypes)
    {
        if (specialDtypes is not null && specialDtypes.TryGetValue(tensor.Name, out var special)) return SizeOf(special);
        var own = tensor.Value.element_size();
        return dtype is { } wanted && tensor.Value.is_floating_point() ? Math.Min(own, SizeOf(wanted)) : own;
    }

    private static long SizeOf(ScalarType dtype)
    {
        using var element = empty(1, dtype, META);
        return element.element_size();
    }
}
