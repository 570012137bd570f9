using AccelerateSharp.Data.Trees;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Recomputation;

/// <summary>One call of which only the inputs are kept: backward computes the rest again.</summary>
/// <remarks>
/// <para>
/// The call runs without gradients, and its results hang on one autograd node. When backward reaches that, the call runs once more, on
/// detached inputs and with the random numbers and the autocast of the first time, and backward runs through it at once. Chen et al.,
/// "Training Deep Nets with Sublinear Memory Cost", 2016.
/// </para>
/// <para>
/// What stands in for parameters at the moment - the aliases of data-parallel training, the gathered parameters of a sharded unit -
/// counts as input: the second call computes with detached copies, and their gradients leave through the node, to where the
/// aliases came from. So whoever waits for those gradients gets them once, complete. Parameters for which nothing stands in get
/// theirs from autograd directly.
/// </para>
/// </remarks>
internal sealed class CheckpointedCall : IDisposable
{
    private readonly Func<object?[], object?> _function;
    private readonly object?[] _arguments;
    private readonly List<Input> _inputs = [];
    private readonly List<(ParameterSlot Slot, Tensor Value)> _parameters = [];
    private readonly RandomState? _random;
    private readonly AutocastState _autocast = AutocastState.Capture();
    private bool _isOpen = true;
    private bool _isSpent;

    private CheckpointedCall(Func<object?[], object?> function, object?[] arguments, IReadOnlySet<Module>? modules, bool preserveRandomState)
    {
        _function = function;
        foreach (var slot in ParameterSlot.SwappedHere)
        {
            if (modules is not null && !slot.Modules.Any(modules.Contains)) continue;
            // First: of what the node passes on at the same moment, gradients of parameters go before those of the inputs.
            var input = Keep(slot.Alias!);
            _parameters.Add((slot, input.Value));
        }

        var kept = new Dictionary<Tensor, Tensor>(ReferenceEqualityComparer.Instance);
        _arguments = [.. arguments.Select(argument => TensorTree.Map(argument, tensor => tensor.IsInvalid ? tensor : kept.TryGetValue(tensor, out var value) ? value : kept[tensor] = Keep(tensor).Value))];
        if (preserveRandomState) _random = RandomState.Capture(_inputs.Select(input => input.Value.device).FirstOrDefault(device => device.type == DeviceType.CUDA));
        _ = set_grad_enabled(false);
    }

    /// <summary>Before the call; what it computes until <see cref="End"/> or <see cref="Abandon"/> leaves no trace in autograd.</summary>
    /// <param name="function">The call, to be made again in backward.</param>
    /// <param name="arguments">What it is made with; the tensors in them are its inputs.</param>
    /// <param name="modules">The modules whose parameters it uses; null where nobody knows.</param>
    /// <param name="preserveRandomState">Whether the second call draws the random numbers of the first.</param>
    /// <returns>Null where gradients are off: then there is nothing to save.</returns>
    public static CheckpointedCall? Begin(Func<object?[], object?> function, object?[] arguments, IReadOnlySet<Module>? modules, bool preserveRandomState)
    {
        if (!is_grad_enabled()) return null;
        // An error of a backward that ran without an accelerator: nobody could throw it.
        BackwardErrors.Shared.ThrowPending();
        return new CheckpointedCall(function, arguments, modules, preserveRandomState);
    }

    /// <summary>After the call.</summary>
    /// <param name="result">What it returned.</param>
    /// <param name="trains">Whether gradients are wanted of something that is no input: parameters for which nothing stands in.</param>
    /// <returns>The result, with its floating-point tensors on the node that computes again.</returns>
    public object? End(object? result, bool trains)
    {
        if (!_isOpen) throw new InvalidOperationException("Activation checkpointing: a call ended twice.");
        Leave();
        var outputs = Differentiable(result);
        var aliases = outputs.ConvertAll(output => output.detach());
        using var nothing = trains && !_inputs.Exists(input => input.Source.requires_grad) ? zeros(1).requires_grad_(true) : null;
        var sources = _inputs.ConvertAll(input => input.Source);
        if (nothing is not null) sources.Add(nothing);
        var attached = outputs.Count > 0 && AutogradNode.Attach(sources, aliases, ComputeAgain, BackwardErrors.Shared, this);
        foreach (var input in _inputs) input.Source.Dispose();
        if (!attached)
        {
            Dispose();
            return result;
        }

        var replacements = outputs.Zip(aliases).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<Tensor>)ReferenceEqualityComparer.Instance);
        return TensorTree.Map(result, tensor => replacements.GetValueOrDefault(tensor, tensor));
    }

    /// <summary>After a call that threw.</summary>
    public void Abandon()
    {
        if (!_isOpen) return;
        Leave();
        foreach (var input in _inputs) input.Source.Dispose();
        Dispose();
    }

    public void Dispose()
    {
        foreach (var input in _inputs) input.Value.Dispose();
        _random?.Dispose();
    }

    private static List<Tensor> Differentiable(object? result) =>
        [.. TensorTree.Tensors(result).Where(tensor => !tensor.IsInvalid).Where(tensor => tensor.is_floating_point() || tensor.is_complex()).Distinct<Tensor>(ReferenceEqualityComparer.Instance)];

    private void Leave()
    {
        _isOpen = false;
        _ = set_grad_enabled(true);
        // A weight that was cast without gradients must not serve a use that wants one.
        if (Autocast.IsEnabled(DeviceType.CPU) || Autocast.IsEnabled(DeviceType.CUDA)) Autocast.ClearCache();
    }

    /// <summary>A second handle on the tensor, for the node, and a detached one to compute with; both outlive the caller's scopes.</summary>
    private Input Keep(Tensor tensor)
    {
        var source = Tensor.UnsafeCreateTensor(TensorHandles.Duplicate(tensor.Handle)).DetachFromDisposeScope();
        var input = new Input(source, source.requires_grad, tensor.detach().DetachFromDisposeScope());
        _inputs.Add(input);
        return input;
    }

    private void ComputeAgain(GradientSlots gradients)
    {
        if (_isSpent)
        {
            throw new InvalidOperationException(
                "Activation checkpointing: backward ran a second time through a checkpointed call, whose inputs were freed the first time. Use retain_graph then, or compute the forward again.");
        }

        // Asked before another backward runs in here.
        var keepsGraph = AutogradNode.KeepsGraph;
        _isSpent = !keepsGraph;
        try
        {
            using var grad = enable_grad();
            foreach (var input in _inputs.Where(input => input.RequiresGrad)) input.Value.requires_grad_(true);
            var outputs = CallAgain();
            if (outputs.Count != gradients.Count)
                throw new InvalidOperationException($"Activation checkpointing: the call returned {gradients.Count} tensors in forward and {outputs.Count} when it was computed again. What it returns must not depend on anything but its inputs.");
            var wanted = Enumerable.Range(0, outputs.Count).Where(i => gradients[i] is not null && outputs[i].requires_grad).ToList();
            if (wanted.Count > 0) autograd.backward(wanted.ConvertAll(i => outputs[i]), wanted.ConvertAll(i => gradients[i]!));
            for (var i = 0; i < _inputs.Count; i++)
            {
                if (!_inputs[i].RequiresGrad || _inputs[i].Value.grad is not { } gradient) continue;
                gradients.PassOn(i, gradient);
                _inputs[i].Value.grad = null;
            }
        }
        finally
        {
            if (!keepsGraph) Dispose();
        }
    }

    private List<Tensor> CallAgain()
    {
        using var now = _random is null ? null : RandomState.Capture(_inputs.Select(input => input.Value.device).FirstOrDefault(device => device.type == DeviceType.CUDA));
        // What only the forward needs goes before backward runs through it.
        using var scope = NewDisposeScope();
        using var autocast = _autocast.Enter();
        var swapped = 0;
        try
        {
            _random?.Restore();
            for (; swapped < _parameters.Count; swapped++) _parameters[swapped].Slot.SwapIn(_parameters[swapped].Value);
            var outputs = Differentiable(_function(_arguments));
            scope.MoveToOuter(outputs);
            return outputs;
        }
        finally
        {
            while (swapped > 0) _parameters[--swapped].Slot.SwapBack();
            now?.Restore();
        }
    }

    /// <param name="Source">The tensor itself, until the node has taken note of it.</param>
    /// <param name="RequiresGrad">Whether its gradient is wanted.</param>
    /// <param name="Value">The same memory without a history.</param>
    private sealed record Input(Tensor Source, bool RequiresGrad, Tensor Value);
}
