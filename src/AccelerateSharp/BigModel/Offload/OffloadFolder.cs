using AccelerateSharp.Checkpoints;
using AccelerateSharp.Checkpoints.Safetensors;
using AccelerateSharp.Safetensors;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>Weights on disk: a <c>.dat</c> file of bare bytes for each tensor, or where it lies in a safetensors file, and an index of both.</summary>
internal sealed class OffloadFolder : IDisposable
{
    private readonly string _path;
    private readonly Dictionary<string, OffloadEntry> _entries;
    private readonly Dictionary<string, SafetensorsReader> _readers = new(StringComparer.Ordinal);
    private bool _changed;

    private OffloadFolder(string path)
    {
        _path = path;
        _entries = OffloadIndex.Read(path);
    }

    public IReadOnlyCollection<string> Names => _entries.Keys;

    /// <summary>Opens a folder, with what it holds; makes it where it is not there.</summary>
    public static OffloadFolder Open(string path)
    {
        Directory.CreateDirectory(path);
        return new OffloadFolder(path);
    }

    public bool Contains(string name) => _entries.ContainsKey(name);

    /// <summary>Writes a tensor, in place of one of its name.</summary>
    public void Write(string name, Tensor tensor)
    {
        using (var file = File.OpenHandle(PathOf(name), FileMode.Create, FileAccess.ReadWrite, FileShare.None)) TensorSources.Write(tensor, file, 0);
        Set(name, new OffloadEntry(OffloadDtypes.Name(tensor.dtype, name), tensor.shape));
    }

    /// <summary>Notes that a tensor lies in a safetensors file, as it is.</summary>
    public void Refer(string name, SafetensorsTensorInfo tensor) =>
        Set(name, new OffloadEntry(OffloadDtypes.Name(tensor.Dtype, name), [.. tensor.Shape], Path.GetFullPath(tensor.File), tensor.Name));

    /// <summary>Writes the index, if anything has changed.</summary>
    public void Save()
    {
        if (_changed) OffloadIndex.Write(_path, _entries);
        _changed = false;
    }

    /// <summary>A tensor that is there: its bytes, and what they are.</summary>
    /// <exception cref="KeyNotFoundException">There is none of this name.</exception>
    /// <exception cref="IOException">What lies there is not what the index says.</exception>
    public (ByteSource Bytes, ScalarType Stored, ScalarType Dtype, long[] Shape) Find(string name)
    {
        if (!_entries.TryGetValue(name, out var entry)) throw new KeyNotFoundException($"{_path} has no offloaded tensor '{name}'.");
        var dtype = OffloadDtypes.Parse(entry.Dtype) ?? throw Stale(name, $"its dtype is '{entry.Dtype}', which is not known");
        if (entry.SafetensorsFile is not null) return InSafetensors(name, entry, dtype);
        var path = PathOf(name);
        if (!File.Exists(path)) throw Stale(name, $"{Path.GetFileName(path)} is not there");
        var shape = entry.Shape ?? throw Stale(name, "it has no shape");
        using var element = empty(1, dtype, META);
        var bytes = shape.Aggregate(element.element_size(), (product, extent) => checked(product * extent));
        var actual = new FileInfo(path).Length;
        return actual == bytes ? (new DatBytes(path, bytes), dtype, dtype, shape)
            : throw Stale(name, $"{Path.GetFileName(path)} has {actual} bytes, and a {entry.Dtype} tensor of shape [{string.Join(", ", shape)}] has {bytes}");
    }

    public void Dispose()
    {
        foreach (var reader in _readers.Values) reader.Dispose();
        _readers.Clear();
    }

    private (ByteSource Bytes, ScalarType Stored, ScalarType Dtype, long[] Shape) InSafetensors(string name, OffloadEntry entry, ScalarType dtype)
    {
        if (!File.Exists(entry.SafetensorsFile)) throw Stale(name, $"{entry.SafetensorsFile} is not there");
        if (!_readers.TryGetValue(entry.SafetensorsFile, out var reader)) _readers.Add(entry.SafetensorsFile, reader = SafetensorsReader.Open(entry.SafetensorsFile));
        var tensor = reader.Header.Tensors.FirstOrDefault(tensor => tensor.Name == (entry.WeightName ?? name))
            ?? throw Stale(name, $"{entry.SafetensorsFile} has no tensor '{entry.WeightName ?? name}'");
        if (entry.Shape is not null && !entry.Shape.SequenceEqual(tensor.Shape))
            throw Stale(name, $"it is [{string.Join(", ", tensor.Shape)}] in {entry.SafetensorsFile}, and [{string.Join(", ", entry.Shape)}] in the index");
        return (new SafetensorsBytes(reader, tensor), TensorDtypes.Of(tensor, reader.Path), dtype, [.. tensor.Shape]);
    }

    private void Set(string name, OffloadEntry entry)
    {
        _entries[name] = entry;
        _changed = true;
    }

    private string PathOf(string name) => name.AsSpan().IndexOfAny('/', '\\') < 0 ? Path.Combine(_path, $"{name}.dat")
        : throw new ArgumentException($"Tensor '{name}' cannot be offloaded to disk: its name would be a path.", nameof(name));

    private IOException Stale(string name, string why) =>
        new($"The offload folder {_path} does not hold '{name}' any more: {why}. Delete the folder, and the weights are written again.");
}
