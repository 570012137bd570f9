using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The rules by which modules become units.</summary>
internal static class WrapPolicies
{
    /// <summary>Modules of these classes; where none are named, those that the model declares or repeats most.</summary>
    /// <param name="model">The model.</param>
    /// <param name="names">The classes.</param>
    /// <param name="feature">Who asks, for the message.</param>
    /// <param name="setting">The setting that names the classes, for the message.</param>
    /// <exception cref="ArgumentException">The model has no module of a named class.</exception>
    public static Func<string, Module, bool> ByClass(Module model, IReadOnlyList<string>? names, string feature = "FSDP", string setting = "transformer_layer_cls_to_wrap")
    {
        var classes = names is { Count: > 0 } ? names : LayerClasses(model) ?? throw new ArgumentException(
            $"{feature}: {model.GetName()} repeats no class of modules, so its layers cannot be guessed. "
            + (feature == "FSDP" ? "Name them (TransformerClsNamesToWrap, fsdp_transformer_layer_cls_to_wrap), or use another auto_wrap_policy." : "Choose the modules."));
        var found = model.modules().Select(ClassName).ToHashSet(StringComparer.Ordinal);
        if (classes.FirstOrDefault(name => !found.Contains(name)) is { } missing)
            throw new ArgumentException(
                $"{feature}: the model has no module of class '{missing}' ({setting}). Its classes are {string.Join(", ", found.Order(StringComparer.Ordinal))}.");
        var wanted = classes.ToHashSet(StringComparer.Ordinal);
        return (_, module) => wanted.Contains(ClassName(module));
    }

    /// <summary>From the leaves up: a module whose parameters outside of units are at least this many. Containers are left to their parents.</summary>
    public static Func<string, Module, bool> BySize(Module model, long minimum)
    {
        var units = new HashSet<Module>(ReferenceEqualityComparer.Instance);
        if (minimum > 0) Remaining(model);
        return (_, module) => units.Contains(module);

        long Remaining(Module module)
        {
            var own = module.parameters(recurse: false).Sum(parameter => parameter.numel()) + module.children().Sum(Remaining);
            if (own < minimum || ModuleHooks.SignatureOf(module) is null) return own;
            units.Add(module);
            return 0;
        }
    }

    /// <summary>A module's class without its type arguments.</summary>
    public static string ClassName(Module module) => module.GetType().Name.Split('`')[0];

    /// <summary>
    /// The classes of a model's layers: those that it declares, else the one that a container repeats most, counted by parameters where two
    /// are repeated equally often; null where nothing is repeated.
    /// </summary>
    public static IReadOnlyList<string>? LayerClasses(Module model)
    {
        if (model.modules().Prepend(model).OfType<ITransformerModel>().FirstOrDefault() is { } declares) return declares.LayerClassNames;
        var repeated = model.modules().Prepend(model)
            .SelectMany(parent => parent.children().Where(child => child.children().Any()).GroupBy(ClassName))
            .Where(group => group.Count() > 1)
            .OrderByDescending(group => group.Count()).ThenByDescending(group => group.First().parameters().Sum(parameter => parameter.numel()))
            .FirstOrDefault();
        return repeated is null ? null : [repeated.Key];
    }
}
