using AccelerateSharp.Checkpoints.Safetensors;
using AccelerateSharp.Safetensors;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>The weights of a model in the safetensors format: one file, or several with an index.</summary>
/// <remarks>
/// Opening reads and checks the headers alone; tensors are read when they are asked for, by several threads, straight into the
/// memory they stay in. Uploads to a GPU go through pinned memory on streams of their own. All members may be called from several
/// threads at once, except <see cref="Dispose"/>.
/// </remarks>
/// <example><code>
/// using var weights = SafetensorsCheckpoint.Open("Llama-3.1-8B");
/// var embeddings = weights.Read("model.embed_tokens.weight", CUDA, ScalarType.BFloat16);
/// var everything = SafetensorsCheckpoint.Load("model.safetensors", CUDA);
/// SafetensorsCheckpoint.Save(model.state_dict(), "checkpoint");
/// </code></example>
public sealed class SafetensorsCheckpoint : IDisposable
{
    private readonly IReadOnlyList<SafetensorsReader> _readers;
    private readonly Dictionary<string, (SafetensorsReader Reader, SafetensorsTensor Tensor)> _tensors = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsCheckpoint(IReadOnlyList<SafetensorsReader> readers, SafetensorsIndex? index, string path)
    {
        _readers = readers;
        foreach (var reader in readers)
        {
            var file = Path.GetFileName(reader.Path);
            foreach (var tensor in reader.Header.Tensors)
            {
                // A file may hold more than the index uses.
                if (index is not null && (!index.WeightMap.TryGetValue(tensor.Name, out var owner) || owner != file)) continue;
                _tensors.Add(tensor.Name, (reader, tensor));
                _names.Add(tensor.Name);
            }
            foreach (var (key, value) in reader.Header.Metadata) _metadata.TryAdd(key, value);
        }
        if (index is not null && index.WeightMap.FirstOrDefault(entry => !_tensors.ContainsKey(entry.Key)) is { Key: not null } missing)
            throw new SafetensorsException($"{path}: tensor '{missing.Key}' should be in {missing.Value}, but is not.");
        // Tensors that share memory are written once; the metadata says under which other names.
        foreach (var (alias, name) in _metadata)
        {
            if (!_tensors.ContainsKey(alias) && _tensors.TryGetValue(name, out var shared) && shared.Tensor.Name == name)
            {
                _tensors.Add(alias, shared);
                _names.Add(alias);
            }
        }
    }

    /// <summary>The names of the tensors in the order of their bytes; those that share another's memory last.</summary>
    public IReadOnlyList<string> Names => _names;

    /// <summary>The free-form entries of the files, for instance <c>format</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>The paths of the files.</summary>
    public IReadOnlyList<string> Files => [.. _readers.Select(reader => reader.Path)];

    /// <summary>Opens weights, and checks that their headers are right and that no tensor lies outside its file.</summary>
    /// <param name="path">A <c>.safetensors</c> file, a <c>.safetensors.index.json</c>, or the folder that holds them.</param>
    /// <exception cref="FileNotFoundException">There are no such weights.</exception>
    /// <exception cref="IOException">A file cannot be read, or is not what the format allows; the message says in what.</exception>
    public static SafetensorsCheckpoint Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var (files, index) = SafetensorsFiles.Resolve(path);
        var readers = new List<SafetensorsReader>();
        try
        {
            foreach (var file in files) readers.Add(SafetensorsReader.Open(file));
            return new SafetensorsCheckpoint(readers, index, path);
        }
        catch
        {
            foreach (var reader in readers) reader.Dispose();
            throw;
        }
    }

    /// <summary>Opens weights and reads all of them; see <see cref="ReadAll"/>.</summary>
    /// <param name="path">A file, an index or a folder, as for <see cref="Open"/>.</param>
    /// <param name="device">Where the tensors come to be; the CPU by default.</param>
    /// <param name="dtype">What floating-point tensors are converted to; by default they stay what they are.</param>
    /// <returns>The tensors by name, outside of every dispose scope.</returns>
    public static Dictionary<string, Tensor> Load(string path, Device? device = null, ScalarType? dtype = null)
    {
        using var checkpoint = Open(path);
        return checkpoint.ReadAll(device, dtype);
    }

    /// <summary>Writes tensors into a folder: <c>model.safetensors</c>, or several such files with an index.</summary>
    /// <remarks>
    /// Each file is written beside and renamed. Tensors that are one and the same memory are written once; the metadata keeps
    /// the other names. GPU tensors are brought to the CPU one at a time.
    /// </remarks>
    /// <param name="tensors">The tensors by name, for instance a <c>state_dict()</c>.</param>
    /// <param name="folder">Made if it is not there. Files of an earlier checkpoint in it are removed once this one is complete.</param>
    /// <param name="maxShardSize">Largest size of a file, in bytes; 10 GB by default.</param>
    /// <param name="metadata">Entries beside <c>format</c>, which is <c>pt</c>.</param>
    public static void Save(
        IEnumerable<KeyValuePair<string, Tensor>> tensors, string folder, long maxShardSize = 10_000_000_000, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        var (sources, entries) = TensorSources.Of(tensors, metadata);
        SafetensorsShards.Write(folder, sources, maxShardSize, entries);
    }

    /// <summary>Writes tensors into one file; see <see cref="Save"/>.</summary>
    /// <param name="tensors">The tensors by name.</param>
    /// <param name="path">The file, which is replaced if it is there.</param>
    /// <param name="metadata">Entries beside <c>format</c>, which is <c>pt</c>.</param>
    public static void SaveFile(IEnumerable<KeyValuePair<string, Tensor>> tensors, string path, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentException.ThrowIfNullOrEmpty(path);
        var (sources, entries) = TensorSources.Of(tensors, metadata);
        SafetensorsWriter.Write(path, sources, entries);
    }

    /// <summary>Whether there is a tensor of this name.</summary>
    public bool Contains(string name) => _tensors.ContainsKey(name);

    /// <summary>Dtype, shape and size of a tensor, without reading it.</summary>
    /// <exception cref="KeyNotFoundException">There is no tensor of this name.</exception>
    public SafetensorsTensorInfo Describe(string name)
    {
        var (reader, tensor) = Find(name);
        return new SafetensorsTensorInfo(name, TensorDtypes.Of(tensor, reader.Path), tensor.Shape, tensor.ByteCount, reader.Path);
    }

    /// <summary>Reads one tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="device">Where it comes to be; the CPU by default.</param>
    /// <param name="dtype">What a floating-point tensor is converted to; by default it stays what it is.</param>
    /// <returns>A new tensor, in the current dispose scope.</returns>
    /// <exception cref="KeyNotFoundException">There is no tensor of this name.</exception>
    public Tensor Read(string name, Device? device = null, ScalarType? dtype = null)
    {
        var tensor = Allocate(name, device, dtype);
        ReadInto(name, tensor);
        return tensor;
    }

    /// <summary>Reads a tensor into the memory of another of the same shape, on any device and of any dtype.</summary>
    /// <exception cref="KeyNotFoundException">There is no tensor of this name.</exception>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public void ReadInto(string name, Tensor destination) => ReadInto([new(name, destination)]);

    /// <summary>Reads many tensors at once, each into the memory of another: the fastest way to fill a model.</summary>
    /// <remarks>Contiguous destinations of the file's own dtype are read into directly; for others a gigabyte at a time is read and converted.</remarks>
    /// <inheritdoc cref="ReadInto(string, Tensor)"/>
    public void ReadInto(IEnumerable<KeyValuePair<string, Tensor>> destinations)
    {
        ArgumentNullException.ThrowIfNull(destinations);
        TensorReads.Run([.. destinations.Select(entry =>
        {
            var (reader, tensor) = Find(entry.Key);
            return new TensorRead(reader, tensor, entry.Value);
        })]);
    }

    /// <summary>Reads all tensors.</summary>
    /// <param name="device">Where they come to be; the CPU by default.</param>
    /// <param name="dtype">What floating-point tensors are converted to; by default they stay what they are.</param>
    /// <param name="where">Which names are read; all by default.</param>
    /// <returns>The tensors by name, outside of every dispose scope. Names that share memory in the file share it here.</returns>
    public Dictionary<string, Tensor> ReadAll(Device? device = null, ScalarType? dtype = null, Func<string, bool>? where = null)
    {
        var all = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        var first = new Dictionary<SafetensorsTensor, Tensor>(ReferenceEqualityComparer.Instance);
        try
        {
            foreach (var name in _names.Where(name => where?.Invoke(name) ?? true))
            {
                var tensor = _tensors[name].Tensor;
                if (first.TryGetValue(tensor, out var shared)) all.Add(name, shared.alias().DetachFromDisposeScope());
                else all.Add(name, first[tensor] = Allocate(name, device, dtype).DetachFromDisposeScope());
            }
            TensorReads.Run([.. first.Select(entry => new TensorRead(Find(entry.Key.Name).Reader, entry.Key, entry.Value))]);
            return all;
        }
        catch
        {
            foreach (var tensor in all.Values) tensor.Dispose();
            throw;
        }
    }

    /// <summary>A CPU tensor over the file's own memory: nothing is read before it is used.</summary>
    /// <remarks>
    /// It outlives this object, and the file stays mapped as long as it does. Writing to it changes memory of this process and never
    /// the file; who makes the file shorter meanwhile ends the process. Where the file lays elements at an address that the processor
    /// does not take, the tensor is read instead.
    /// </remarks>
    /// <returns>A new tensor, in the current dispose scope.</returns>
    /// <exception cref="KeyNotFoundException">There is no tensor of this name.</exception>
    public Tensor Map(string name)
    {
        var (reader, tensor) = Find(name);
        var dtype = TensorDtypes.Of(tensor, reader.Path);
        return MappedTensor.TryCreate(reader, tensor, dtype) ?? Read(name);
    }

    /// <summary>Closes the files. Tensors that were read or mapped stay.</summary>
    public void Dispose()
    {
        foreach (var reader in _readers) reader.Dispose();
    }

    /// <summary>Like <see cref="Describe"/>, but under the name that the file itself has for the tensor.</summary>
    internal SafetensorsTensorInfo Locate(string name)
    {
        var (_, tensor) = Find(name);
        return Describe(name) with { Name = tensor.Name };
    }

    private Tensor Allocate(string name, Device? device, ScalarType? dtype)
    {
        var (reader, tensor) = Find(name);
        var own = TensorDtypes.Of(tensor, reader.Path);
        return empty([.. tensor.Shape], dtype is { } wanted && TensorDtypes.IsFloatingPoint(own) ? wanted : own, device ?? CPU);
    }

    private (SafetensorsReader Reader, SafetensorsTensor Tensor) Find(string name) => _tensors.TryGetValue(name, out var found) ? found
        : throw new KeyNotFoundException($"{Path.GetFileName(_readers[0].Path)}{(_readers.Count > 1 ? $" and {_readers.Count - 1} more files" : "")}: there is no tensor '{name}'.");
}
