using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Several hooks on one module. Both before and after the forward they run in the order in which they are given.</summary>
public sealed class SequentialHook : ModelHook
{
    private readonly ModelHook[] _hooks;

    /// <param name="hooks">The hooks; a sequence among them counts as its parts.</param>
    public SequentialHook(params IReadOnlyList<ModelHook> hooks) : base(hooks.Any(hook => hook.NoGrad)) =>
        _hooks = [.. hooks.SelectMany(hook => hook is SequentialHook sequence ? sequence.Hooks : [hook])];

    /// <summary>The hooks in order.</summary>
    public IReadOnlyList<ModelHook> Hooks => _hooks;

    /// <inheritdoc/>
    public override void InitHook(Module module)
    {
        foreach (var hook in _hooks) hook.InitHook(module);
    }

    /// <inheritdoc/>
    public override object?[] PreForward(Module module, object?[] arguments) => _hooks.Aggregate(arguments, (current, hook) => hook.PreForward(module, current));

    /// <inheritdoc/>
    public override object? PostForward(Module module, object? result) => _hooks.Aggregate(result, (current, hook) => hook.PostForward(module, current));

    /// <inheritdoc/>
    public override void AbandonForward(Module module)
    {
        foreach (var hook in _hooks.Reverse()) hook.AbandonForward(module);
    }

    /// <inheritdoc/>
    public override void DetachHook(Module module)
    {
        foreach (var hook in _hooks.Reverse()) hook.DetachHook(module);
    }
}
