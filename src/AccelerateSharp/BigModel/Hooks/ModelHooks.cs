using AccelerateSharp.BigModel;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Puts hooks on modules and takes them off.</summary>
public static class ModelHooks
{
    /// <summary>Puts a hook on a module, in place of the one that is there, or behind it.</summary>
    /// <param name="module">A module that can be called.</param>
    /// <param name="hook">The hook.</param>
    /// <param name="append">Whether a hook that is there stays and runs first; otherwise it is taken off.</param>
    /// <exception cref="ArgumentException">The module derives from <c>torch.nn.Module</c> directly and cannot be called.</exception>
    public static void AddHookToModule(Module module, ModelHook hook, bool append = false)
    {
        ArgumentNullException.ThrowIfNull(module);
        ArgumentNullException.ThrowIfNull(hook);
        HookRegistration.Add(module, hook, append);
    }

    /// <summary>The hook of a module; null where there is none.</summary>
    public static ModelHook? GetHook(Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        return HookRegistration.Of(module)?.Hook;
    }

    /// <summary>Takes the hook off a module, which then is what it was before; nothing where there is none.</summary>
    /// <param name="module">The module.</param>
    /// <param name="recurse">Whether the modules below it lose theirs too.</param>
    public static void RemoveHookFromModule(Module module, bool recurse = false)
    {
        ArgumentNullException.ThrowIfNull(module);
        HookRegistration.Of(module)?.Remove();
        if (recurse) RemoveHookFromSubmodules(module);
    }

    /// <summary>Takes the hooks off all modules below one, at any depth.</summary>
    public static void RemoveHookFromSubmodules(Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        foreach (var (name, below) in ModelTensors.Modules(module))
            if (name.Length > 0) HookRegistration.Of(below)?.Remove();
    }

    /// <summary>Brings the tensors of a module to a device, its offloaded weights included, until the result is disposed.</summary>
    /// <remarks>Offloaded weights are a copy: what is written to them meanwhile is lost.</remarks>
    /// <param name="module">The module; tensors of modules below it are left alone, unless they are offloaded together with its own.</param>
    /// <param name="executionDevice">The device; by default the one that the module computes on.</param>
    public static IDisposable AlignModuleDevice(Module module, TorchSharp.torch.Device? executionDevice = null)
    {
        ArgumentNullException.ThrowIfNull(module);
        return new ModuleAlignment(module, executionDevice);
    }

    /// <summary>Whether weights of a module, or of one below it, are offloaded: they are brought to a device only while it computes.</summary>
    public static bool HasOffloadedParams(Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        return ModelTensors.Modules(module).Any(entry => HookRegistration.Offload(entry.Module) is not null);
    }
}
