using System.Runtime.CompilerServices;
using AccelerateSharp.Data.Trees;
using AccelerateSharp.Parallel.Sharding;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Recomputation;

/// <summary>Runs around the <c>call</c> of a module whose activations are not kept.</summary>
internal sealed class CheckpointHooks : IForwardHooks, IForwardRegion, IDisposable
{
    /// <summary>Every module that is checkpointed by hooks.</summary>
    private static readonly ConditionalWeakTable<Module, CheckpointHooks> _all = [];

    private readonly ModuleRecomputation _recomputation;
    private readonly ForwardScope _scope = new();
    private readonly Module _module;
    private readonly IDisposable _hooks;
    private CheckpointedCall? _call;

    private CheckpointHooks(Module module)
    {
        _module = module;
        _recomputation = new ModuleRecomputation(module);
        _hooks = ModuleHooks.Around(module, this);
    }

    /// <summary>Puts the hooks on; nothing where they are already.</summary>
    public static void PutOn(Module module)
    {
        if (!_all.TryGetValue(module, out _)) _all.Add(module, new CheckpointHooks(module));
    }

    /// <summary>Takes the hooks off.</summary>
    /// <returns>Whether there were any.</returns>
    public static bool TakeOff(Module module)
    {
        if (!_all.TryGetValue(module, out var hooks)) return false;
        hooks._hooks.Dispose();
        return _all.Remove(module);
    }

    public object?[] BeforeForward(object?[] arguments)
    {
        _call = _recomputation.Begin(arguments);
        if (_call is null) return arguments;
        _scope.Open();
        OpenForwards.Enter(_module, [this]);
        return arguments;
    }

    public object? AfterForward(object? result)
    {
        if (_call is not { } call) return result;
        _call = null;
        result = call.End(result, _recomputation.IsTrained);
        _scope.Close(result, TensorTree.Tensors(result));
        OpenForwards.Leave(_module);
        return result;
    }

    public IDisposable Enter(bool nested) => this;

    /// <summary>Behind a forward that threw; behind any other there is nothing left to do.</summary>
    public void Dispose()
    {
        if (_call is not { } call) return;
        _call = null;
        _scope.Abandon();
        call.Abandon();
    }
}
