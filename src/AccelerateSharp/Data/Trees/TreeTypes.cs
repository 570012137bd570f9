using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using TorchSharp;

namespace AccelerateSharp.Data.Trees;

/// <summary>Which types are worth looking into for tensors, decided from their declarations, once per type.</summary>
internal static class TreeTypes
{
    private static readonly ConcurrentDictionary<Type, bool> _mayHold = new();

    /// <summary>Whether a value declared as <paramref name="type"/> can be or hold a tensor. True for <c>object</c>: its value decides.</summary>
    public static bool MayHoldTensors(Type type) => _mayHold.GetOrAdd(type, static candidate => Look(candidate, []));

    /// <summary>Whether values of <paramref name="type"/> are opened field by field.</summary>
    public static bool HasOpenFields(Type type) =>
        !type.IsInterface && !type.IsAbstract && (IsTuple(type) || IsUserType(type)) && MayHoldTensors(type);

    public static bool IsTuple(Type type) => typeof(ITuple).IsAssignableFrom(type);

    /// <summary>Instance fields, those of base types first.</summary>
    public static IEnumerable<FieldInfo> FieldsOf(Type type)
    {
        const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        return type.BaseType is { } parent && parent != typeof(object) ? FieldsOf(parent).Concat(type.GetFields(Own)) : type.GetFields(Own);
    }

    /// <summary>The element type of an array, list or other generic sequence; null for anything else.</summary>
    public static Type? ElementOf(Type type) => type.IsArray ? type.GetElementType() : ArgumentOf(type, typeof(IEnumerable<>), 0);

    /// <summary>The value type of a dictionary; null for anything else.</summary>
    public static Type? ValueOf(Type type) =>
        ArgumentOf(type, typeof(IDictionary<,>), 1) ?? ArgumentOf(type, typeof(IReadOnlyDictionary<,>), 1);

    /// <summary>The key type of a dictionary; null for anything else.</summary>
    public static Type? KeyOf(Type type) =>
        ArgumentOf(type, typeof(IDictionary<,>), 0) ?? ArgumentOf(type, typeof(IReadOnlyDictionary<,>), 0);

    private static Type? ArgumentOf(Type type, Type definition, int position) =>
        type.GetInterfaces().Append(type).FirstOrDefault(candidate => candidate.IsGenericType && candidate.GetGenericTypeDefinition() == definition)
            ?.GetGenericArguments()[position];

    private static bool Look(Type type, HashSet<Type> seen)
    {
        if (typeof(torch.Tensor).IsAssignableFrom(type) || type == typeof(object)) return true;
        if (type.IsPrimitive || type.IsEnum || type.IsPointer || type == typeof(string) || !seen.Add(type)) return false;
        if (ValueOf(type) is { } value) return Look(value, seen);
        if (ElementOf(type) is { } element) return Look(element, seen);
        if (IsTuple(type)) return FieldsOf(type).Any(field => Look(field.FieldType, seen));
        // A field declared as object or interface alone does not make a class a batch: it would be opened for nothing.
        return IsUserType(type) && FieldsOf(type).Any(field => field.FieldType != typeof(object) && Look(field.FieldType, seen));
    }

    private static bool IsUserType(Type type) =>
        !type.IsInterface && type.Assembly != typeof(torch).Assembly && type.Assembly != typeof(object).Assembly
        && !typeof(torch.nn.Module).IsAssignableFrom(type) && !typeof(Delegate).IsAssignableFrom(type)
        && type.Namespace?.StartsWith("System", StringComparison.Ordinal) != true || IsNullable(type);

    private static bool IsNullable(Type type) => Nullable.GetUnderlyingType(type) is not null;
}
