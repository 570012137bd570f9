using AccelerateSharp.BigModel;
using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Brings a module's inputs, and where asked its weights, to one device for the time of its forward.</summary>
/// <remarks>
/// This is the hook for a single module, without prefetch: <see cref="BigModeling.DispatchModel"/> and what stands on it hold
/// blocks of weights ahead of their use.
/// </remarks>
/// <param name="executionDevice">Where the module computes; null leaves everything where it is.</param>
/// <param name="offload">Whether its weights are there only while it computes; between, they are on the meta device.</param>
/// <param name="ioSameDevice">Whether results go back to the device of the first input.</param>
/// <param name="weightsMap">The weights by name; by default the module's own, kept where they are.</param>
/// <param name="offloadBuffers">Whether buffers are offloaded too.</param>
/// <param name="placeSubmodules">Whether the weights of modules below are treated as the module's own.</param>
/// <param name="skipKeys">Parameters of the module's <c>forward</c> whose arguments stay where they are.</param>
public sealed class AlignDevicesHook(
    Device? executionDevice = null, bool offload = false, bool ioSameDevice = false, IReadOnlyDictionary<string, Tensor>? weightsMap = null,
    bool offloadBuffers = false, bool placeSubmodules = false, IReadOnlyCollection<string>? skipKeys = null) : ModelHook, IOffloadHook
{
    private readonly List<(ModelTensor Tensor, Tensor? Kept)> _offloaded = [];
    private readonly List<ModelTensor> _present = [];
    private readonly List<(ModelTensor Tensor, Tensor? Former)> _moved = [];
    private bool[] _skipped = [];
    private Device? _inputDevice;

    bool IOffloadHook.Offloads => _offloaded.Count > 0;

    /// <inheritdoc/>
    public override void InitHook(Module module)
    {
        _skipped = ForwardArguments.Named(module, skipKeys);
        foreach (var tensor in placeSubmodules ? ModelTensors.Of(module) : ModelTensors.Direct(module))
        {
            if (offload && (tensor.IsParameter || offloadBuffers && tensor.IsPersistent))
            {
                if (weightsMap is not null && !weightsMap.ContainsKey(tensor.Name))
                    throw new ArgumentException($"The weights map has no '{tensor.Name}' of this {module.GetType().Name}.", nameof(module));
                if (weightsMap is null && tensor.IsEmpty) throw new ArgumentException($"'{tensor.Name}' of this {module.GetType().Name} has no values, and there is no weights map.", nameof(module));
                _offloaded.Add((tensor, tensor.IsEmpty ? null : tensor.Value.detach().DetachFromDisposeScope()));
                tensor.Empty();
            }
            else if (executionDevice is not null && !Same(tensor.Value.device, executionDevice))
            {
                if (tensor.IsEmpty) throw new ArgumentException($"'{tensor.Name}' has no values that could go to {executionDevice}; load the weights first.", nameof(module));
                _moved.Add((tensor, tensor.Value.detach().DetachFromDisposeScope()));
                using var moved = tensor.Value.detach().to(executionDevice);
                tensor.Put(moved);
            }
        }
    }

    /// <inheritdoc/>
    public override object?[] PreForward(Module module, object?[] arguments)
    {
        Release(module);
        _inputDevice = ioSameDevice ? TensorTree.FindDevice(arguments) : null;
        Align(module);
        return executionDevice is null ? arguments : ForwardArguments.Move(arguments, executionDevice, _skipped, trees: true);
    }

    /// <inheritdoc/>
    public override object? PostForward(Module module, object? result)
    {
        Release(module);
        return _inputDevice is null ? result : ForwardArguments.Move(result, _inputDevice);
    }

    /// <inheritdoc/>
    public override void AbandonForward(Module module) => Release(module);

    /// <inheritdoc/>
    public override void DetachHook(Module module)
    {
        Release(module);
        foreach (var (tensor, former) in _offloaded.Concat(_moved))
        {
            if (former is null) continue;
            tensor.Put(former);
            former.Dispose();
        }
        _offloaded.Clear();
        _moved.Clear();
    }

    void IOffloadHook.Align(Module module) => Align(module);

    void IOffloadHook.Release(Module module) => Release(module);

    Tensor? IOffloadHook.Read(ModelTensor tensor)
    {
        foreach (var (known, kept) in _offloaded)
        {
            if (!known.IsSame(tensor)) continue;
            using var value = kept is null || weightsMap is not null ? weightsMap![known.Name].alias() : kept.alias();
            return value.cpu().DetachFromDisposeScope();
        }
        return null;
    }

    private void Align(Module module)
    {
        if (_present.Count > 0) return;
        using var noGrad = no_grad();
        foreach (var (tensor, kept) in _offloaded)
        {
            var source = weightsMap is null ? kept! : weightsMap[tensor.Name];
            using var scope = NewDisposeScope();
            var value = source.detach().to(tensor.Dtype);
            if (executionDevice is not null) value = value.to(executionDevice);
            tensor.SwapIn(value);
            _present.Add(tensor);
        }
    }

    private void Release(Module module)
    {
        foreach (var tensor in _present) tensor.SwapBack();
        _present.Clear();
    }

    private static bool Same(Device one, Device other) => one.type == other.type && (one.index == other.index || other.index < 0);
}
