using System.Text.Json;
using static TorchSharp.torch;

namespace AccelerateSharp;

// Objects travel as JSON: nothing that arrives is ever run.
public sealed partial class ProcessGroup
{
    /// <summary>Copies the root's object to every rank, as JSON.</summary>
    /// <param name="value">Read on the root alone.</param>
    /// <param name="root">The rank within the group whose object is copied.</param>
    /// <param name="options">How it becomes JSON; the defaults of System.Text.Json where null.</param>
    /// <returns>The root's object, on the root too a copy.</returns>
    public T BroadcastObject<T>(T value, int root, JsonSerializerOptions? options = null)
    {
        var bytes = Rank == root ? ToBytes(value, options) : [];
        using var length = tensor(new long[] { bytes.Length }, device: ObjectDevice).DetachFromDisposeScope();
        Broadcast(length, root);
        using var data = Rank == root ? ToTensor(bytes) : NewBytes(length.cpu().item<long>());
        Broadcast(data, root);
        return FromTensor<T>(data, options);
    }

    /// <summary>Collects an object of every rank on every rank, as JSON.</summary>
    /// <param name="value">This rank's object.</param>
    /// <param name="options">How it becomes JSON; the defaults of System.Text.Json where null.</param>
    /// <returns>The objects in the order of the ranks.</returns>
    public IReadOnlyList<T> AllGatherObject<T>(T value, JsonSerializerOptions? options = null)
    {
        using var scope = NewDisposeScope();
        var input = ToTensor(ToBytes(value, options));
        var outputs = Lengths(input).Select(NewBytes).ToArray();
        AllGather(outputs, input);
        return [.. outputs.Select(t => FromTensor<T>(t, options))];
    }

    /// <summary>Collects an object of every rank on the root, as JSON.</summary>
    /// <param name="value">This rank's object.</param>
    /// <param name="root">The rank within the group that receives.</param>
    /// <param name="options">How it becomes JSON; the defaults of System.Text.Json where null.</param>
    /// <returns>On the root the objects in the order of the ranks; null elsewhere.</returns>
    public IReadOnlyList<T>? GatherObject<T>(T value, int root, JsonSerializerOptions? options = null)
    {
        using var scope = NewDisposeScope();
        var input = ToTensor(ToBytes(value, options));
        var lengths = Lengths(input);
        var outputs = Rank == root ? lengths.Select(NewBytes).ToArray() : null;
        Gather(outputs, input, root);
        return outputs is null ? null : [.. outputs.Select(t => FromTensor<T>(t, options))];
    }

    /// <summary>Gives each rank one of the root's objects, as JSON.</summary>
    /// <param name="values">On the root one object for each rank; ignored elsewhere.</param>
    /// <param name="root">The rank within the group that sends.</param>
    /// <param name="options">How it becomes JSON; the defaults of System.Text.Json where null.</param>
    /// <returns>This rank's object.</returns>
    public T ScatterObject<T>(IReadOnlyList<T>? values, int root, JsonSerializerOptions? options = null)
    {
        if (Rank == root && values?.Count != Size)
            throw new ArgumentException($"scatter: needs one object for each of the {Size} ranks, got {values?.Count ?? 0}.", nameof(values));
        using var scope = NewDisposeScope();
        var inputs = Rank == root ? values!.Select(v => ToTensor(ToBytes(v, options))).ToArray() : null;
        var length = zeros(1, ScalarType.Int64, ObjectDevice);
        Scatter(length, inputs?.Select(t => tensor(new[] { t.numel() }, device: ObjectDevice)).ToArray(), root);
        var output = NewBytes(length.cpu().item<long>());
        Scatter(output, inputs, root);
        return FromTensor<T>(output, options);
    }

    private Device ObjectDevice => new(_backend.DeviceType, _backend.DeviceIndex);

    private static byte[] ToBytes<T>(T value, JsonSerializerOptions? options) => JsonSerializer.SerializeToUtf8Bytes(value, options);

    private long[] Lengths(Tensor input)
    {
        var lengths = empty(Size, ScalarType.Int64, ObjectDevice);
        AllGather(lengths, tensor(new[] { input.numel() }, device: ObjectDevice));
        return lengths.cpu().data<long>().ToArray();
    }

    private Tensor ToTensor(byte[] bytes) => tensor(bytes, ScalarType.Byte, ObjectDevice);

    private Tensor NewBytes(long length) => empty(length, ScalarType.Byte, ObjectDevice);

    private static T FromTensor<T>(Tensor data, JsonSerializerOptions? options)
    {
        using var scope = NewDisposeScope();
        return JsonSerializer.Deserialize<T>(data.cpu().data<byte>().ToArray(), options)!;
    }
}
