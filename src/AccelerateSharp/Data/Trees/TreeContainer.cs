using System.Collections;
using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using TorchSharp;

namespace AccelerateSharp.Data.Trees;

/// <summary>How one container type is taken apart and put together again; found once per type.</summary>
internal abstract class TreeContainer
{
    private static readonly ConcurrentDictionary<Type, TreeContainer?> _known = new();

    /// <summary>The container that <paramref name="type"/> is, or null: a leaf.</summary>
    public static TreeContainer? For(Type type) => _known.GetOrAdd(type, Find);

    /// <summary>The entries, in a fixed order.</summary>
    public abstract object?[] Open(object container);

    /// <summary>A container like <paramref name="original"/> with other entries.</summary>
    public abstract object Close(object original, object?[] children);

    /// <summary>A list or array of the same type with other entries.</summary>
    public static object Copy(IList original, IEnumerable<object?> entries)
    {
        var items = entries.ToArray();
        var type = original.GetType();
        // The compiler's own read-only lists stand behind interfaces only, which an array implements as well.
        if (type.IsArray || Attribute.IsDefined(type, typeof(CompilerGeneratedAttribute)))
        {
            var array = Array.CreateInstance(TreeTypes.ElementOf(type)!, items.Length);
            for (var i = 0; i < items.Length; i++) array.SetValue(items[i], i);
            return array;
        }
        var copy = (IList)New(type);
        foreach (var item in items) copy.Add(item);
        return copy;
    }

    protected static object New(Type type)
    {
        try
        {
            return Activator.CreateInstance(type)!;
        }
        catch (MissingMethodException error)
        {
            throw new NotSupportedException(
                $"A batch holds its tensors in a {type.Name}, which has no constructor without arguments and cannot be rebuilt. "
                + "Use an array, List, Dictionary, tuple or record.", error);
        }
    }

    private static TreeContainer? Find(Type type)
    {
        if (!TreeTypes.MayHoldTensors(type) || typeof(torch.Tensor).IsAssignableFrom(type)) return null;
        if (typeof(IDictionary).IsAssignableFrom(type)) return new DictionaryContainer();
        if (typeof(IList).IsAssignableFrom(type) && !(type.IsArray && type.GetArrayRank() > 1)) return new ListContainer();
        return TreeTypes.HasOpenFields(type) ? new FieldsContainer(type) : null;
    }

    private sealed class ListContainer : TreeContainer
    {
        public override object?[] Open(object container) => [.. ((IList)container).Cast<object?>()];

        public override object Close(object original, object?[] children) => Copy((IList)original, children);
    }

    private sealed class DictionaryContainer : TreeContainer
    {
        public override object?[] Open(object container) => [.. ((IDictionary)container).Values.Cast<object?>()];

        public override object Close(object original, object?[] children)
        {
            var source = (IDictionary)original;
            var copy = (IDictionary)Like(source);
            foreach (var (key, child) in source.Keys.Cast<object>().Zip(children)) copy.Add(key, child);
            return copy;
        }

        private static object Like(IDictionary source)
        {
            // Keep the way keys are compared, where the type has such a thing.
            var comparer = source.GetType().GetProperty("Comparer")?.GetValue(source);
            var constructor = comparer is null ? null : source.GetType().GetConstructors().FirstOrDefault(candidate =>
                candidate.GetParameters() is [var only] && only.ParameterType.IsInstanceOfType(comparer));
            return constructor?.Invoke([comparer]) ?? New(source.GetType());
        }
    }

    /// <summary>Tuples, records, structs, classes: a shallow copy with its fields set anew.</summary>
    private sealed class FieldsContainer(Type type) : TreeContainer
    {
        private readonly FieldInfo[] _fields = [.. TreeTypes.FieldsOf(type)];

        public override object?[] Open(object container) => [.. _fields.Select(field => field.GetValue(container))];

        public override object Close(object original, object?[] children)
        {
            var copy = ShallowCopy(original);
            for (var i = 0; i < _fields.Length; i++) _fields[i].SetValue(copy, children[i]);
            return copy;
        }

        [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "MemberwiseClone")]
        private static extern object ShallowCopy(object original);
    }
}
