using System.Diagnostics.CodeAnalysis;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>What an optimizer remembers of one parameter: tensors by name, none before the first step.</summary>
internal sealed class ParameterState : OptimizerState, IDisposable
{
    /// <summary>The number of steps so far, a float32 scalar, as in PyTorch.</summary>
    public const string Step = "step";

    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    public ParameterState(Parameter parameter)
        : base(parameter)
    {
    }

    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    public bool IsEmpty => _tensors.Count == 0;

    public Tensor this[string name] => _tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new InvalidOperationException(
            $"The optimizer state of a parameter of shape [{string.Join(", ", _parameter.shape)}] has no '{name}', only {string.Join(", ", _tensors.Keys)}: "
            + "it was saved by an optimizer with other settings.");

    public bool TryGet(string name, [MaybeNullWhen(false)] out Tensor tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>Takes the tensor over, out of every dispose scope.</summary>
    public void Set(string name, Tensor tensor)
    {
        if (_tensors.TryGetValue(name, out var old) && !ReferenceEquals(old, tensor)) old.Dispose();
        _tensors[name] = tensor.DetachFromDisposeScope();
    }

    /// <summary>The step count, zero at first.</summary>
    public void AddStep() => Set(Step, zeros([], dtype: ScalarType.Float32, device: _parameter.device));

    /// <summary>Copies tensors in, to the parameter's device; what was there goes.</summary>
    public void Load(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        using var noGrad = no_grad();
        var copies = tensors.Select(item => (item.Key, Value: item.Value.to(_parameter.device, copy: true))).ToList();
        Clear();
        foreach (var (name, tensor) in copies) Set(name, tensor);
    }

    public override void Initialize(OptimizerOptions options) => Clear();

    public override void SaveStateDict(BinaryWriter writer)
    {
        writer.Write(_tensors.Count);
        foreach (var (name, tensor) in _tensors)
        {
            writer.Write(name);
            tensor.Save(writer);
        }
    }

    public override void LoadStateDict(BinaryReader reader)
    {
        using var scope = NewDisposeScope();
        var count = reader.ReadInt32();
        var tensors = new List<KeyValuePair<string, Tensor>>();
        for (var i = 0; i < count; i++) tensors.Add(new(reader.ReadString(), TensorExtensionMethods.Load(reader)));
        Load(tensors);
    }

    public override void LoadStateDict(OptimizerState source)
    {
        if (source is not ParameterState state)
            throw new ArgumentException($"The state of a {source.GetType().DeclaringType?.Name} cannot be loaded into this optimizer: load what the same type of optimizer saved.", nameof(source));
        Load(state._tensors);
    }

    public override bool ApproximatelyEquals(OptimizerState other) =>
        other is ParameterState state && _tensors.Count == state._tensors.Count
        && _tensors.All(item => state.TryGet(item.Key, out var theirs) && item.Value.allclose(theirs.to(item.Value.device)));

    public override void to(Device device)
    {
        foreach (var name in _tensors.Keys.ToList()) Set(name, _tensors[name].to(device));
    }

    public void Dispose() => Clear();

    private void Clear()
    {
        foreach (var tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
    }
}
