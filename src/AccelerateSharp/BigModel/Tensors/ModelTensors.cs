using System.Runtime.CompilerServices;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Walks the modules of a model and their tensors.</summary>
internal static class ModelTensors
{
    /// <summary>Every module under each of its names, parents before their children; the model itself has the empty name.</summary>
    public static IEnumerable<(string Name, Module Module)> Modules(Module model) => Modules(model, "", []);

    /// <summary>The module with this dotted name; null where there is none.</summary>
    public static Module? FindModule(Module model, string name)
    {
        foreach (var part in name.Length == 0 ? [] : name.Split('.'))
        {
            var child = model.named_children().FirstOrDefault(child => child.name == part).module;
            if (child is null) return null;
            model = child;
        }
        return model;
    }

    /// <summary>Every parameter once, then every buffer once, each in the order of the modules, with all its names.</summary>
    /// <remarks>Two names are one tensor when autograd sees one tensor in them (one <c>TensorImpl</c>).</remarks>
    public static IReadOnlyList<ModelTensor> Of(Module model)
    {
        var found = new Dictionary<nint, ModelTensor>();
        var order = new List<ModelTensor>();
        foreach (var (prefix, module) in Modules(model)) AddDirect(module, prefix, found, order);
        return [.. order.Where(tensor => tensor.IsParameter), .. order.Where(tensor => !tensor.IsParameter)];
    }

    /// <summary>The tensors that a module holds itself, under their names in the model.</summary>
    public static IReadOnlyList<ModelTensor> Direct(Module module, string prefix = "")
    {
        var order = new List<ModelTensor>();
        AddDirect(module, prefix, [], order);
        return order;
    }

    /// <summary>The module's class as device maps name it: without the arity of a generic type.</summary>
    public static string ClassName(Module module) => module.GetType().Name is var name && name.IndexOf('`') is var mark and > 0 ? name[..mark] : name;

    private static IEnumerable<(string Name, Module Module)> Modules(Module module, string name, HashSet<Module> path)
    {
        // A cycle would not end.
        if (!path.Add(module)) yield break;
        yield return (name, module);
        foreach (var (childName, child) in module.named_children())
        {
            foreach (var below in Modules(child, ModuleNames.Join(name, childName), path)) yield return below;
        }
        path.Remove(module);
    }

    private static void AddDirect(Module module, string prefix, Dictionary<nint, ModelTensor> found, List<ModelTensor> order)
    {
        // An embedding computes with its native weight, which need not be the registered one (Embedding_from_pretrained).
        var embedding = EmbeddingWeight.Current(module);
        bool? hasNative = null;
        foreach (var (name, parameter) in module.named_parameters(recurse: false))
        {
            var holder = embedding is not null && name == "weight" && TensorHandles.Identity(embedding) != TensorHandles.Identity(parameter) ? embedding : parameter;
            var isNative = embedding is null && (hasNative ??= NativeModule.HasNativeParameters(module));
            var tensor = Add(name, holder, isParameter: true, isPersistent: true, isNative);
            if (embedding is null || name != "weight") continue;
            tensor?.AddEmbedding(module);
            if (!ReferenceEquals(holder, embedding)) embedding.Dispose();
        }
        foreach (var (name, (buffer, persistent)) in Buffers(module)) Add(name, buffer, isParameter: false, persistent, isNative: false);

        ModelTensor? Add(string name, Tensor holder, bool isParameter, bool isPersistent, bool isNative)
        {
            var identity = TensorHandles.Identity(holder);
            if (identity == 0) return null;
            var full = ModuleNames.Join(prefix, name);
            if (found.TryGetValue(identity, out var tensor)) tensor.AddName(full, holder);
            else
            {
                found.Add(identity, tensor = new ModelTensor(full, isParameter, isPersistent, holder, isNative));
                order.Add(tensor);
            }
            return tensor;
        }
    }

    // named_buffers leaves out the buffers that are not persistent.
    private static IEnumerable<(string Name, (Tensor Buffer, bool IsPersistent) Entry)> Buffers(Module module) => BufferField(module);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_internal_buffers")]
    private static extern ref TorchSharp.Utils.OrderedDict<string, (Tensor, bool)> BufferField(Module module);
}
