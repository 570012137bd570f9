using System.Collections;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace AccelerateSharp.Data.Trees;

/// <summary>Describes a batch so that another rank can build one of the same form before the tensors arrive.</summary>
/// <remarks>
/// Only shapes, dtypes, lengths, keys and plain values travel, as JSON; the types come from the declaration of the batch, which is
/// the same on both sides. Nothing that is received names a type. Interfaces become <c>List</c> and <c>Dictionary</c>.
/// </remarks>
internal static class TensorTreeWire
{
    private static readonly JsonSerializerOptions _options = new() { IncludeFields = true };

    /// <summary>The description of <paramref name="batch"/>; its tensors are appended to <paramref name="tensors"/> in order.</summary>
    public static JsonNode? Describe<T>(T batch, List<Tensor> tensors) => Describe(typeof(T), batch, tensors);

    /// <summary>A batch of the described form; its tensors, still without their values, are appended to <paramref name="tensors"/>.</summary>
    public static T Build<T>(JsonNode? description, Device device, List<Tensor> tensors) =>
        (T)Build(typeof(T), description, device, tensors)!;

    private static JsonNode? Describe(Type type, object? value, List<Tensor> tensors)
    {
        if (value is null) return null;
        if (value is Tensor tensor)
        {
            tensors.Add(tensor);
            return new JsonObject { ["dtype"] = (int)tensor.dtype, ["shape"] = Array([.. tensor.shape.Select(size => (JsonNode?)size)]) };
        }
        if (!TreeTypes.MayHoldTensors(type)) return JsonSerializer.SerializeToNode(value, type, _options);
        if (TreeTypes.ValueOf(type) is { } valueType)
        {
            var entries = (IDictionary)value;
            return new JsonObject
            {
                ["keys"] = Array([.. entries.Keys.Cast<object>().Select(key => JsonSerializer.SerializeToNode(key, TreeTypes.KeyOf(type)!, _options))]),
                ["values"] = Array([.. entries.Values.Cast<object?>().Select(entry => Describe(valueType, entry, tensors))]),
            };
        }
        if (TreeTypes.ElementOf(type) is { } element)
            return Array([.. ((IEnumerable)value).Cast<object?>().Select(entry => Describe(element, entry, tensors))]);
        Check(type, value);
        return Array([.. TreeTypes.FieldsOf(type).Select(field => Describe(field.FieldType, field.GetValue(value), tensors))]);
    }

    private static object? Build(Type type, JsonNode? node, Device device, List<Tensor> tensors)
    {
        if (node is null) return null;
        if (typeof(Tensor).IsAssignableFrom(type)) return Receiver(node, device, tensors);
        if (!TreeTypes.MayHoldTensors(type)) return node.Deserialize(type, _options);
        if (TreeTypes.ValueOf(type) is { } valueType)
        {
            var keyType = TreeTypes.KeyOf(type)!;
            var entries = (IDictionary)New(type, typeof(Dictionary<,>).MakeGenericType(keyType, valueType));
            foreach (var (key, value) in node["keys"]!.AsArray().Zip(node["values"]!.AsArray()))
                entries.Add(key.Deserialize(keyType, _options)!, Build(valueType, value, device, tensors));
            return entries;
        }
        if (TreeTypes.ElementOf(type) is { } element)
        {
            var list = (IList)New(type, typeof(List<>).MakeGenericType(element));
            foreach (var entry in node.AsArray()) list.Add(Build(element, entry, device, tensors));
            if (!type.IsArray) return list;
            var array = System.Array.CreateInstance(element, list.Count);
            list.CopyTo(array, 0);
            return array;
        }
        if (!TreeTypes.HasOpenFields(type)) throw Undeclared(type);
        var built = RuntimeHelpers.GetUninitializedObject(type);
        foreach (var (field, entry) in TreeTypes.FieldsOf(type).Zip(node.AsArray()))
            field.SetValue(built, Build(field.FieldType, entry, device, tensors));
        return built;
    }

    private static Tensor Receiver(JsonNode node, Device device, List<Tensor> tensors)
    {
        var shape = node["shape"]!.AsArray().Select(size => size!.GetValue<long>()).ToArray();
        var tensor = empty(shape, (ScalarType)node["dtype"]!.GetValue<int>(), device);
        tensors.Add(tensor);
        return tensor;
    }

    private static object New(Type declared, Type usual) =>
        Activator.CreateInstance(declared.IsInterface || declared.IsArray ? usual : declared)!;

    private static JsonArray Array(JsonNode?[] nodes) => new(nodes);

    private static void Check(Type type, object value)
    {
        if (Nullable.GetUnderlyingType(type) is null && value.GetType() == type && TreeTypes.HasOpenFields(type)) return;
        throw Undeclared(type);
    }

    private static NotSupportedException Undeclared(Type type) => new(
        $"Batches that rank 0 dispatches must have a declared form on every rank; {type.Name} has none. "
        + "Declare the batch with tensors, tuples, arrays, lists, dictionaries or sealed records of these, "
        + "or set DataLoaderConfiguration.DispatchBatches to false.");
}
