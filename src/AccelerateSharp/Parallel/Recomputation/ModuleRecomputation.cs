using AccelerateSharp.Parallel.Sharding;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Recomputation;

/// <summary>Checkpointed calls of one module, whose hooks have to tell the first call from the one in backward.</summary>
internal sealed class ModuleRecomputation(Module module)
{
    private readonly Func<object?[], object?> _call = ModuleHooks.CallerOf(module);
    private readonly Lazy<HashSet<Module>> _modules = new(() => module.modules().Prepend(module).ToHashSet<Module>(ReferenceEqualityComparer.Instance));
    private readonly ThreadLocal<bool> _isRunning = new();

    /// <summary>Whether the module is being computed again on this thread.</summary>
    public bool IsRunning => _isRunning.Value;

    /// <summary>Whether any parameter of the module is trained.</summary>
    public bool IsTrained => module.parameters().Any(parameter => parameter.requires_grad);

    /// <summary>Before a call of the module; null where it is to run as always.</summary>
    public CheckpointedCall? Begin(object?[] arguments) =>
        IsRunning ? null : CheckpointedCall.Begin(Again, arguments, _modules.Value, preserveRandomState: true);

    private object? Again(object?[] arguments)
    {
        _isRunning.Value = true;
        try
        {
            return _call(arguments);
        }
        finally
        {
            _isRunning.Value = false;
        }
    }
}
