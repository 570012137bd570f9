using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>A module, or a tensor that a module holds itself (then without <paramref name="Module"/>), that waits for a place.</summary>
internal readonly record struct Layer(string Name, Module? Module)
{
    /// <summary>The model's own parameters, its children, and its own buffers.</summary>
    public static List<Layer> TopLevel(Module model)
    {
        var direct = ModelTensors.Direct(model);
        return
        [
            .. direct.Where(tensor => tensor.IsParameter).Select(tensor => new Layer(tensor.Name, null)),
            .. model.named_children().Select(child => new Layer(child.name, child.module)),
            .. direct.Where(tensor => !tensor.IsParameter).Select(tensor => new Layer(tensor.Name, null)),
        ];
    }

    /// <summary>Whether it can be replaced by its parts.</summary>
    public bool CanSplit(IReadOnlySet<string> noSplit) => Module is not null && Module.named_children().Any() && !noSplit.Contains(ModelTensors.ClassName(Module));

    /// <summary>The parameters that the module holds itself, and its children.</summary>
    public IEnumerable<Layer> Split()
    {
        var name = Name;
        return
        [
            .. Module!.named_parameters(recurse: false).Select(parameter => new Layer(ModuleNames.Join(name, parameter.name), null)),
            .. Module.named_children().Select(child => new Layer(ModuleNames.Join(name, child.name), child.module)),
        ];
    }

    /// <summary>The largest part that is never split (a leaf, or one of the classes that stay whole) among the layers.</summary>
    public static (long Bytes, List<string> Names) Largest(IEnumerable<Layer> layers, ModuleSizes sizes, IReadOnlySet<string> noSplit)
    {
        var largest = 0L;
        var names = new List<string>();
        var stack = new Stack<Layer>(layers.Reverse());
        while (stack.TryPop(out var layer))
        {
            if (layer.CanSplit(noSplit))
            {
                foreach (var (name, child) in layer.Module!.named_children().Reverse()) stack.Push(new Layer(ModuleNames.Join(layer.Name, name), child));
                continue;
            }
            var bytes = sizes[layer.Name];
            if (bytes > largest) (largest, names) = (bytes, [layer.Name]);
            else if (bytes == largest) names.Add(layer.Name);
        }
        return (largest, names);
    }
}
