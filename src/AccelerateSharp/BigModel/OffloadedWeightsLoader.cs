using System.Collections;
using System.Diagnostics.CodeAnalysis;
using AccelerateSharp.BigModel;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Weights by name, from a state dictionary and from an offload folder; the folder's are read when they are asked for.</summary>
/// <remarks>A folder holds a <c>.dat</c> file of bare bytes for each tensor, or names the safetensors file that has it, and <c>index.json</c>.</remarks>
public sealed class OffloadedWeightsLoader : IReadOnlyDictionary<string, Tensor>, IDisposable
{
    private readonly IReadOnlyDictionary<string, Tensor> _state;
    private readonly OffloadFolder? _folder;
    private readonly Device _device;

    /// <param name="stateDict">Tensors that are there; they come before the folder's.</param>
    /// <param name="saveFolder">The offload folder.</param>
    /// <param name="device">Where tensors of the folder come to be; the CPU by default.</param>
    /// <exception cref="ArgumentException">There is neither a state dictionary nor a folder.</exception>
    public OffloadedWeightsLoader(IReadOnlyDictionary<string, Tensor>? stateDict = null, string? saveFolder = null, Device? device = null)
    {
        if (stateDict is null && saveFolder is null) throw new ArgumentException("Offloaded weights come from a state dictionary, from a folder or from both; neither is given.", nameof(stateDict));
        _state = stateDict ?? new Dictionary<string, Tensor>();
        _folder = saveFolder is null ? null : OffloadFolder.Open(saveFolder);
        _device = device ?? CPU;
    }

    /// <summary>The names: those of the state dictionary first.</summary>
    public IEnumerable<string> Keys => _state.Keys.Concat(_folder?.Names.Where(name => !_state.ContainsKey(name)) ?? []);

    /// <summary>All tensors, each read when it comes.</summary>
    public IEnumerable<Tensor> Values => Keys.Select(name => this[name]);

    /// <summary>The number of names.</summary>
    public int Count => Keys.Count();

    /// <summary>A tensor: the state dictionary's own, or a new one that is read from the folder.</summary>
    /// <exception cref="KeyNotFoundException">There is none of this name.</exception>
    /// <exception cref="IOException">The folder does not hold what its index says.</exception>
    public Tensor this[string key] => TryGetValue(key, out var value) ? value : throw new KeyNotFoundException($"There is no offloaded tensor '{key}'.");

    /// <summary>Whether there is a tensor of this name.</summary>
    public bool ContainsKey(string key) => _state.ContainsKey(key) || _folder?.Contains(key) == true;

    /// <inheritdoc/>
    public bool TryGetValue(string key, [MaybeNullWhen(false)] out Tensor value)
    {
        if (_state.TryGetValue(key, out value)) return true;
        if (_folder?.Contains(key) != true) return false;
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var (bytes, stored, dtype, shape) = _folder.Find(key);
        value = new OffloadedWeight(bytes, null, stored, shape).Read().to(dtype).to(_device).MoveToOuterDisposeScope();
        return true;
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, Tensor>> GetEnumerator() => Keys.Select(name => new KeyValuePair<string, Tensor>(name, this[name])).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Closes the folder's files.</summary>
    public void Dispose() => _folder?.Dispose();
}
