using System.Collections;
using static TorchSharp.torch;

namespace AccelerateSharp.Data.Trees;

/// <summary>Operations on the tensors inside nested structures; what comes back has the same containers, with the same types.</summary>
/// <remarks>
/// Containers are tuples, arrays, lists, dictionaries, and records, structs and classes with tensors in their fields, at any
/// depth. Everything else is a leaf that stays as it is. No operation changes its argument.
/// </remarks>
internal static class TensorTree
{
    private const int MaxDepth = 64;

    /// <summary>The structure with every tensor replaced. A part whose tensors all stay the same objects is not copied.</summary>
    public static T Map<T>(T value, Func<Tensor, Tensor> map) => (T)Map(value, map, 0)!;

    /// <summary>Calls <paramref name="visit"/> for every tensor, in a fixed order.</summary>
    public static void ForEach<T>(T value, Action<Tensor> visit) => Visit(value, leaf =>
    {
        if (leaf is Tensor tensor) visit(tensor);
    }, 0);

    /// <summary>Every tensor, in a fixed order.</summary>
    public static List<Tensor> Tensors<T>(T value)
    {
        var tensors = new List<Tensor>();
        ForEach(value, tensors.Add);
        return tensors;
    }

    /// <summary>The first leaf that is not a tensor, if any.</summary>
    public static bool TryFindOther<T>(T value, out object? other)
    {
        object? found = null;
        var any = false;
        Visit(value, leaf =>
        {
            if (any || leaf is Tensor) return;
            any = true;
            found = leaf;
        }, 0);
        other = found;
        return any;
    }

    /// <summary>Every leaf that is not a tensor.</summary>
    public static List<object?> Others<T>(T value)
    {
        var others = new List<object?>();
        Visit(value, leaf =>
        {
            if (leaf is not Tensor) others.Add(leaf);
        }, 0);
        return others;
    }

    /// <summary>Rows (dimension 0) of the first tensor that has any dimension; null without one.</summary>
    public static long? FindBatchSize<T>(T value) => Tensors(value).FirstOrDefault(tensor => tensor.dim() > 0)?.shape[0];

    /// <summary>Where the first tensor lives; null without one.</summary>
    public static Device? FindDevice<T>(T value) => Tensors(value).FirstOrDefault()?.device;

    /// <summary>The same rows of every tensor, as views. Lists of plain values with one entry per row are cut alike.</summary>
    public static T Slice<T>(T value, long start, long length)
    {
        var rows = FindBatchSize(value);
        return (T)MapLeaves(value, leaf => leaf switch
        {
            Tensor tensor => tensor.dim() == 0 ? tensor.alias() : tensor.narrow(0, start, length),
            IList list when list.Count == rows => TreeContainer.Copy(list, Enumerable.Range((int)start, (int)length).Select(i => list[i])),
            _ => leaf,
        }, 0)!;
    }

    /// <summary>Structures of the same form joined along <paramref name="dim"/>. Lists of plain values are joined; other leaves must be equal.</summary>
    /// <exception cref="ArgumentException">The structures differ in form, or in a value that cannot be joined.</exception>
    public static T Concatenate<T>(IReadOnlyList<T> values, long dim = 0) => values.Count switch
    {
        0 => throw new ArgumentException("There is nothing to concatenate.", nameof(values)),
        _ => (T)Concatenate([.. values.Select(value => (object?)value)], dim, 0)!,
    };

    private static object? Map(object? value, Func<Tensor, Tensor> map, int depth) =>
        MapLeaves(value, leaf => leaf is Tensor tensor ? map(tensor) : leaf, depth);

    private static object? MapLeaves(object? value, Func<object, object?> map, int depth)
    {
        if (value is null) return null;
        CheckDepth(depth, value);
        if (TreeContainer.For(value.GetType()) is not { } container) return map(value);
        var children = container.Open(value);
        var changed = false;
        for (var i = 0; i < children.Length; i++)
        {
            var mapped = MapLeaves(children[i], map, depth + 1);
            changed |= !ReferenceEquals(mapped, children[i]);
            children[i] = mapped;
        }
        return changed ? container.Close(value, children) : value;
    }

    private static void Visit(object? value, Action<object?> visit, int depth)
    {
        CheckDepth(depth, value);
        if (value is null || TreeContainer.For(value.GetType()) is not { } container)
        {
            visit(value);
            return;
        }
        foreach (var child in container.Open(value)) Visit(child, visit, depth + 1);
    }

    private static object? Concatenate(object?[] values, long dim, int depth)
    {
        var first = values[0];
        if (first is null && values.All(value => value is null)) return null;
        if (first is null || values.Any(value => value?.GetType() != first.GetType()) && !values.All(value => value is Tensor))
            throw new ArgumentException($"Batches differ in form: {string.Join(", ", values.Select(value => value?.GetType().Name ?? "null"))}.");
        CheckDepth(depth, first);
        if (first is Tensor) return Join([.. values.Cast<Tensor>()], dim);
        if (TreeContainer.For(first.GetType()) is { } container)
        {
            var opened = values.Select(value => container.Open(value!)).ToArray();
            if (opened.Any(children => children.Length != opened[0].Length))
                throw new ArgumentException($"Batches differ in form: a {first.GetType().Name} has {string.Join(", ", opened.Select(children => children.Length))} entries.");
            return container.Close(first, [.. Enumerable.Range(0, opened[0].Length)
                .Select(i => Concatenate([.. opened.Select(children => children[i])], dim, depth + 1))]);
        }
        if (first is IList list) return TreeContainer.Copy(list, values.SelectMany(value => ((IList)value!).Cast<object?>()));
        return values.All(first.Equals)
            ? first
            : throw new ArgumentException(
                $"Values of type {first.GetType().Name} differ between batches and cannot be concatenated. "
                + "Put them into a tensor, or into a list with one entry per sample.");
    }

    private static Tensor Join(Tensor[] tensors, long dim) =>
        tensors[0].dim() == 0 ? stack(tensors) : tensors.Length == 1 ? tensors[0].alias() : cat(tensors, dim);

    private static void CheckDepth(int depth, object? value)
    {
        if (depth > MaxDepth)
        {
            throw new ArgumentException(
                $"A batch is nested deeper than {MaxDepth} levels, or contains itself (at a {value?.GetType().Name}).");
        }
    }
}
