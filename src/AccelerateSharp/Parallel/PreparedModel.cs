using System.Reflection;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>A model with the hooks that make it part of a run.</summary>
internal sealed class PreparedModel : IDisposable
{
    private readonly List<IDisposable> _hooks = [];

    public PreparedModel(Module model, Func<bool> synchronize, GradientReducer? reducer)
    {
        Model = model;
        Reducer = reducer;
        if (reducer is null) return;
        Hook("register_forward_pre_hook", _ => reducer.BeforeForward(synchronize()));
        Hook("register_forward_hook", _ => reducer.AfterForward());
    }

    public Module Model { get; }

    public GradientReducer? Reducer { get; }

    public void Dispose()
    {
        foreach (var hook in _hooks) hook.Dispose();
        Reducer?.Dispose();
    }

    /// <summary>The hooks are declared on each <c>Module&lt;…&gt;</c> of its own signature; this finds the one that every signature has.</summary>
    private void Hook(string method, Action<Module> action)
    {
        var register = Model.GetType().GetMethod(method, BindingFlags.Instance | BindingFlags.Public, [typeof(Action<Module>)])
            ?? throw new ArgumentException(
                $"Accelerator.Prepare: {Model.GetType().Name} derives from torch.nn.Module directly and cannot be called; derive it from Module<TInput, TResult>.", nameof(method));
        var remover = register.Invoke(Model, [action])!;
        _hooks.Add(new HookHandle(remover));
    }

    /// <summary>TorchSharp's remover, whose type depends on the module's signature.</summary>
    private sealed class HookHandle(object remover) : IDisposable
    {
        public void Dispose() => remover.GetType().GetMethod("remove")!.Invoke(remover, null);
    }
}
