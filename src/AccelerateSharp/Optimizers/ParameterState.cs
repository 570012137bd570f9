using System.Diagnostics.CodeAnalysis;
using AccelerateSharp.Parallel.Swap;
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
    private PagedState? _paged;

    public ParameterState(Parameter parameter)
        : base(parameter)
    {
    }

    /// <summary>By name; where the state is in a file, copies that go with the current dispose scope.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _paged?.Read() ?? _tensors;

    public bool IsEmpty => _paged?.IsEmpty ?? _tensors.Count == 0;

    public Tensor this[string name] => _tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new InvalidOperationException(
            $"The optimizer state of a parameter of shape [{string.Join(", ", _parameter.shape)}] has no '{name}', only {string.Join(", ", _tensors.Keys)}: "
            + "it was saved by an optimizer with other settings.");

    public bool TryGet(string name, [MaybeNullWhen(false)] out Tensor tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>Takes the tensor over, out of every dispose scope.</summary>
    public void Set(string name, Tensor tensor)
    {
        if (_paged is not null)
        {
            _paged.Write(name, tensor);
            return;
        }

        if (_tensors.TryGetValue(name, out var old) && !ReferenceEquals(old, tensor)) old.Dispose();
        _tensors[name] = tensor.DetachFromDisposeScope();
    }

    /// <summary>Lets go of a tensor without disposing it.</summary>
    public void Forget(string name) => _tensors.Remove(name);

    /// <summary>From now on the state is in a file.</summary>
    public void PageOut(PagedState paged)
    {
        foreach (var (name, tensor) in _tensors) paged.Write(name, tensor);
        _tensors.Clear();
        _paged = paged;
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
        using var scope = NewDisposeScope();
        var tensors = Tensors;
        writer.Write(tensors.Count);
        foreach (var (name, tensor) in tensors)
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
        using var scope = NewDisposeScope();
        Load(state.Tensors);
    }

    public override bool ApproximatelyEquals(OptimizerState other) =>
        other is ParameterState state && _tensors.Count == state._tensors.Count
        && _tensors.All(item => state.TryGet(item.Key, out var theirs) && item.Value.allclose(theirs.to(item.Value.device)));

    public override void to(Device device)
    {
        // What is in a file goes through host memory only.
        if (_paged is not null) return;
        foreach (var name in _tensors.Keys.ToList()) Set(name, _tensors[name].to(device));
    }

    public void Dispose() => Clear();

    public void Clear()
    {
        _paged?.Clear();
        foreach (var tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
    }
}
