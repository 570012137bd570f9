using System.Runtime.CompilerServices;
using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.Sharding;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>The hook of a module, as TorchSharp runs it.</summary>
internal sealed class HookRegistration : IForwardHooks, IForwardRegion
{
    private static readonly ConditionalWeakTable<Module, HookRegistration> _all = [];

    private readonly Module _module;
    private readonly IForwardRegion[] _regions;
    private readonly IDisposable _registered;
    private readonly Stack<Forward> _forwards = new();
    private bool _isGuarded;

    private HookRegistration(Module module, ModelHook hook)
    {
        if (ModuleHooks.SignatureOf(module) is null)
            throw new ArgumentException($"{module.GetType().Name} derives from torch.nn.Module directly and cannot be called, so no hook can run around it; derive it from Module<TInput, TResult>.", nameof(module));
        _module = module;
        _regions = [this];
        Hook = hook;
        _registered = ModuleHooks.Around(module, this);
    }

    public ModelHook Hook
    {
        get;
        private set
        {
            field = value;
            _isGuarded = IsGuarded(value);
        }
    }

    public static HookRegistration? Of(Module module) => _all.TryGetValue(module, out var registration) ? registration : null;

    /// <summary>What holds weights of a module itself back; null where nothing does.</summary>
    public static IOffloadHook? Offload(Module module) => Of(module)?.Hook switch
    {
        IOffloadHook { Offloads: true } hook => hook,
        SequentialHook sequence => sequence.Hooks.OfType<IOffloadHook>().FirstOrDefault(hook => hook.Offloads),
        _ => null,
    };

    public static void Add(Module module, ModelHook hook, bool append)
    {
        var present = Of(module);
        if (present is not null && append)
        {
            hook.InitHook(module);
            present.Hook = new SequentialHook(present.Hook, hook);
            return;
        }
        present?.Remove();
        var registration = new HookRegistration(module, hook);
        try
        {
            hook.InitHook(module);
        }
        catch
        {
            registration._registered.Dispose();
            throw;
        }
        _all.Add(module, registration);
    }

    /// <summary>Ends what a forward that threw may have left, detaches the hook and takes it off.</summary>
    public void Remove()
    {
        while (_forwards.TryPeek(out var forward)) forward.Dispose();
        _registered.Dispose();
        _all.Remove(_module);
        Hook.DetachHook(_module);
    }

    public object?[] BeforeForward(object?[] arguments)
    {
        if (_isGuarded) OpenForwards.Enter(_module, _regions);
        return Hook.PreForward(_module, arguments);
    }

    public object? AfterForward(object? result)
    {
        if (!_isGuarded) return Hook.PostForward(_module, result);
        if (_forwards.TryPeek(out var forward)) forward.IsComplete = true;
        try
        {
            return Hook.PostForward(_module, result);
        }
        finally
        {
            OpenForwards.Leave(_module);
        }
    }

    IDisposable IForwardRegion.Enter(bool nested)
    {
        var forward = new Forward(this);
        _forwards.Push(forward);
        return forward;
    }

    // What must be put back when a forward throws costs a little at each call, and few hooks need it.
    private static bool IsGuarded(ModelHook hook) => hook.NoGrad || (hook is SequentialHook sequence
        ? sequence.Hooks.Any(IsGuarded)
        : hook.GetType().GetMethod(nameof(ModelHook.AbandonForward))!.DeclaringType != typeof(ModelHook));

    /// <summary>One forward that runs; its end is noticed also where it threw.</summary>
    private sealed class Forward : IDisposable
    {
        private readonly HookRegistration _owner;
        private readonly IDisposable? _noGrad;

        public Forward(HookRegistration owner)
        {
            _owner = owner;
            _noGrad = owner.Hook.NoGrad ? no_grad() : null;
        }

        public bool IsComplete { get; set; }

        public void Dispose()
        {
            if (!_owner._forwards.TryPeek(out var top) || top != this) return;
            _owner._forwards.Pop();
            if (!IsComplete) _owner.Hook.AbandonForward(_owner._module);
            _noGrad?.Dispose();
        }
    }
}
