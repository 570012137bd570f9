using AccelerateSharp.Optimizers;
using AccelerateSharp.Parallel.Swap;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>What AccelerateSharp's optimizers share: whole lists of tensors per call, state made at the first step, TorchSharp's conventions.</summary>
/// <remarks>
/// <para>
/// They are TorchSharp optimizers: learning-rate schedulers, parameter groups, <c>state_dict</c>, <c>save_state_dict</c> and
/// <c>load_state_dict</c> work as usual. State belongs to the parameter object and is made when a gradient first arrives, on the
/// device where the parameter then is.
/// </para>
/// <para>A parameter without a gradient is passed over. As in PyTorch, <see cref="zero_grad"/> drops the gradients instead of zeroing them.</para>
/// </remarks>
public abstract class FusedOptimizer : OptimizerHelper
{
    private readonly Dictionary<Parameter, ParameterState> _states = new(ReferenceEqualityComparer.Instance);
    private OptimizerPager? _pager;

    private protected FusedOptimizer(OptimizerOptions defaults)
    {
        _defaults = defaults;
        _defaults.InitialLearningRate = defaults.LearningRate!.Value;
        _parameter_groups = [];
    }

    /// <summary>What the optimizer remembers of a parameter: tensors by name (<c>step</c>, <c>exp_avg</c>, …), empty before its first step.</summary>
    /// <param name="parameter">A parameter of this optimizer.</param>
    /// <returns>The optimizer's own tensors, not copies.</returns>
    /// <exception cref="ArgumentException">The optimizer does not train this parameter.</exception>
    public IReadOnlyDictionary<string, Tensor> StateOf(Parameter parameter) => Find(parameter).Tensors;

    /// <summary>The parameter groups, for an optimizer that stands for this one.</summary>
    internal IList<ParamGroup> Groups => _parameter_groups;

    /// <summary>Updates every parameter that has a gradient.</summary>
    /// <param name="closure">Computes the loss and the gradients again; optional.</param>
    /// <returns>The closure's loss, or null.</returns>
    public override Tensor step(Func<Tensor>? closure = null)
    {
        Tensor? loss = null;
        if (closure is not null)
        {
            using var grad = enable_grad();
            loss = closure();
        }
        using var noGrad = no_grad();
        foreach (var group in _parameter_groups)
        {
            using var scope = NewDisposeScope();
            var updates = group.Parameters.Select(Collect).OfType<ParameterUpdate>().ToList();
            if (updates.Count == 0) continue;
            if (_pager is null) Update(group, updates);
            else _pager.Run(updates, part => Update(group, part));
        }
        return loss!;
    }

    /// <summary>Drops the gradients: their memory is free, and the next backward pass writes where it would have added.</summary>
    public override void zero_grad()
    {
        foreach (var parameter in parameters()) parameter.grad = null;
    }

    /// <summary>Adds a group of parameters, with options of its own; those that are not set are the optimizer's.</summary>
    /// <param name="param_group">The parameters, none of which may be in the optimizer already.</param>
    public sealed override void add_param_group(ParamGroup param_group)
    {
        ArgumentNullException.ThrowIfNull(param_group);
        var options = Complete(param_group.Options);
        options.LearningRate ??= _defaults.LearningRate;
        options.InitialLearningRate = options.LearningRate!.Value;
        Parameter[] members = [.. param_group.Parameters];
        param_group.Options = options;
        param_group.Parameters = members;
        foreach (var parameter in members)
        {
            if (!_states.TryAdd(parameter, new ParameterState(parameter)))
                throw new ArgumentException($"{GetType().Name}: a parameter of shape [{string.Join(", ", parameter.shape)}] was given twice; each belongs to one group, once.", nameof(param_group));
            _state[parameter.Handle] = _states[parameter];
        }
        _parameter_groups.Add(param_group);
    }

    /// <inheritdoc/>
    public override StateDictionary state_dict()
    {
        // TorchSharp finds state by the parameter's native handle, which need not be the one of the day the group was added.
        _state.Clear();
        foreach (var (parameter, state) in _states) _state[parameter.Handle] = state;
        return base.state_dict();
    }

    /// <summary>Replaces what the optimizer remembers of a parameter by copies of <paramref name="tensors"/>.</summary>
    internal void LoadState(Parameter parameter, IEnumerable<KeyValuePair<string, Tensor>> tensors) => Find(parameter).Load(tensors);

    /// <summary>From now on states, or weights, are in files; each step brings them in piece by piece.</summary>
    internal void PageOut(OptimizerPager pager)
    {
        _pager = pager;
        foreach (var (parameter, state) in _states)
            if (pager.StateOf(parameter) is { } paged) state.PageOut(paged);
    }

    /// <summary>Moves all state.</summary>
    internal void MoveState(Device device)
    {
        foreach (var state in _states.Values) state.to(device);
    }

    /// <summary>The given options, or new ones, with the defaults where nothing was said.</summary>
    private protected abstract OptimizerOptions Complete(OptimizerOptions? options);

    /// <summary>Updates parameters of one group; runs without gradients, in a dispose scope.</summary>
    private protected abstract void Update(ParamGroup group, List<ParameterUpdate> updates);

    /// <summary>Options of the type that this optimizer's groups have.</summary>
    private protected TOptions OptionsOf<TOptions>(OptimizerOptions? options)
        where TOptions : OptimizerOptions, new() => options switch
        {
            null => new TOptions(),
            TOptions right => right,
            _ => throw new ArgumentException(
                $"{GetType().Name} takes groups with {typeof(TOptions).DeclaringType!.Name}.Options, not {options.GetType().DeclaringType?.Name}.{options.GetType().Name}."),
        };

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing) return;
        foreach (var state in _states.Values) state.Dispose();
    }

    private ParameterState Find(Parameter parameter) => _states.TryGetValue(parameter, out var state)
        ? state
        : throw new ArgumentException($"{GetType().Name} does not train this parameter of shape [{string.Join(", ", parameter.shape)}].", nameof(parameter));

    private ParameterUpdate? Collect(Parameter parameter)
    {
        if (parameter.grad is not { } gradient || parameter.numel() == 0) return null;
        if (gradient.is_sparse)
        {
            throw new NotSupportedException(
                $"{GetType().Name} takes no sparse gradients (a parameter of shape [{string.Join(", ", parameter.shape)}] has one): create the embedding with sparse: false.");
        }
        return parameter.is_complex()
            ? new ParameterUpdate(parameter.view_as_real(), gradient.view_as_real(), _states[parameter])
            : new ParameterUpdate(parameter, gradient, _states[parameter]);
    }
}
