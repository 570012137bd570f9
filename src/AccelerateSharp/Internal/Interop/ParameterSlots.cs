using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Finds the places where the modules of a model hold their parameters.</summary>
internal static class ParameterSlots
{
    /// <summary>Every parameter of the model once, in the order of the modules, with all the places that hold it.</summary>
    /// <remarks>
    /// Two holders are one parameter when autograd sees one tensor in them (one <c>TensorImpl</c>): the same
    /// <see cref="Parameter"/> object registered twice, and also two objects for one tensor, as <c>embedding.weight</c> returns a
    /// new object at each call. Two leaves that merely share memory stay two: each has a gradient of its own.
    /// </remarks>
    internal static IReadOnlyList<ParameterSlot> Of(nn.Module model)
    {
        var found = new Dictionary<nint, Places>();
        var order = new List<Places>();
        Visit(model, "", [], found, order);
        return [.. order.Select(places => places.ToSlot())];
    }

    private static void Visit(nn.Module module, string prefix, HashSet<nn.Module> path, Dictionary<nint, Places> found, List<Places> order)
    {
        // A module that is registered twice is visited twice, for its second name; a cycle would not end.
        if (!path.Add(module)) return;
        // Embeddings compute with their native weight. It need not be the registered parameter: Embedding_from_pretrained leaves the
        // random one registered. Then the registered one takes no part, and the weight, if it is trained, is a parameter like others.
        using var weight = EmbeddingWeight.Current(module);
        var weightIdentity = weight is null ? 0 : TensorHandles.Identity(weight);
        bool? hasNative = null;
        foreach (var (name, parameter) in module.named_parameters(recurse: false))
        {
            var identity = TensorHandles.Identity(parameter);
            if (identity == 0) continue;
            var places = At(identity);
            places.Names.Add(prefix + name);
            places.AddModule(module);
            places.AddHolder(parameter);
            if (identity == weightIdentity) places.AddEmbedding(module);
            else if (weight is null && (hasNative ??= NativeModule.HasNativeParameters(module))) places.AddObstacle(module);
        }
        if (weight is not null && !found.ContainsKey(weightIdentity) && weight.requires_grad)
        {
            var places = At(weightIdentity);
            places.Names.Add(prefix + "weight (not registered)");
            places.AddModule(module);
            places.AddHolder(EmbeddingWeight.Current(module)!);
            places.AddEmbedding(module);
        }
        foreach (var (name, child) in module.named_children()) Visit(child, $"{prefix}{name}.", path, found, order);
        path.Remove(module);

        Places At(nint identity)
        {
            if (found.TryGetValue(identity, out var places)) return places;
            found.Add(identity, places = new Places());
            order.Add(places);
            return places;
        }
    }

    private sealed class Places
    {
        private readonly List<Parameter> _holders = [];
        private readonly List<nn.Module> _modules = [];
        private readonly List<nn.Module> _embeddings = [];
        private string? _obstacle;

        internal List<string> Names { get; } = [];

        internal void AddModule(nn.Module module)
        {
            if (!_modules.Contains(module)) _modules.Add(module);
        }

        internal void AddHolder(Parameter parameter)
        {
            if (!_holders.Exists(holder => ReferenceEquals(holder, parameter))) _holders.Add(parameter);
        }

        internal void AddEmbedding(nn.Module module)
        {
            if (!_embeddings.Contains(module)) _embeddings.Add(module);
        }

        internal void AddObstacle(nn.Module module) =>
            _obstacle ??= $"{module.GetType().Name} computes in native code with parameters of its own";

        internal ParameterSlot ToSlot() => new(Names, _modules, _holders, _embeddings.Select(module => new EmbeddingWeight(module)), _obstacle);
    }
}
