using System.Linq.Expressions;
using System.Reflection;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>What runs around a module's <c>call</c> and may replace its arguments and its result.</summary>
internal interface IForwardHooks
{
    /// <returns>The arguments to call the module with.</returns>
    object?[] BeforeForward(object?[] arguments);

    /// <returns>The result to hand to the caller.</returns>
    object? AfterForward(object? result);
}

/// <summary>Registers hooks on modules of any signature: TorchSharp declares them on each <c>Module&lt;…&gt;</c> of its own.</summary>
internal static class ModuleHooks
{
    /// <summary>Puts hooks around a module's <c>call</c>.</summary>
    /// <returns>Takes them off again.</returns>
    /// <exception cref="ArgumentException">The module has no signature: nobody can call it.</exception>
    public static IDisposable Around(Module module, IForwardHooks hooks)
    {
        var signature = SignatureOf(module)
            ?? throw new ArgumentException(CannotBeCalled(module), nameof(module));
        var types = signature.GetGenericArguments();
        var before = signature.GetMethods().Single(method => IsTyped(method, "register_forward_pre_hook"));
        var after = signature.GetMethods().Single(method => IsTyped(method, "register_forward_hook"));
        var removers = new[]
        {
            before.Invoke(module, [PreHook(before.GetParameters()[0].ParameterType, signature, types, hooks)])!,
            after.Invoke(module, [PostHook(after.GetParameters()[0].ParameterType, signature, types, hooks)])!,
        };
        return new Registration(removers);
    }

    /// <summary>A function that enters a module through its <c>call</c>, hooks included.</summary>
    /// <exception cref="ArgumentException">The module has no signature.</exception>
    public static Func<object?[], object?> CallerOf(Module module)
    {
        var signature = SignatureOf(module) ?? throw new ArgumentException(CannotBeCalled(module), nameof(module));
        var types = signature.GetGenericArguments()[..^1];
        var arguments = Expression.Parameter(typeof(object?[]));
        var call = Expression.Call(
            Expression.Constant(module, signature), signature.GetMethod("call", types)!,
            types.Select((type, i) => Expression.Convert(Expression.ArrayIndex(arguments, Expression.Constant(i)), type)));
        return Expression.Lambda<Func<object?[], object?>>(Expression.Convert(call, typeof(object)), arguments).Compile();
    }

    /// <summary>Runs an action before each <c>call</c> of a module; nothing where the module cannot be called.</summary>
    public static IDisposable? Before(Module module, Action<Module> action)
    {
        if (SignatureOf(module) is not { } signature) return null;
        var register = signature.GetMethod("register_forward_pre_hook", [typeof(Action<Module>)])!;
        return new Registration([register.Invoke(module, [action])!]);
    }

    /// <summary>The <c>Module&lt;…&gt;</c> that a module derives from.</summary>
    public static Type? SignatureOf(Module module)
    {
        for (var type = module.GetType(); type is not null; type = type.BaseType)
            if (type is { IsGenericType: true, Name: var name } && name.StartsWith("Module`", StringComparison.Ordinal) && type.DeclaringType == typeof(TorchSharp.torch.nn)) return type;
        return null;
    }

    private static string CannotBeCalled(Module module) =>
        $"{module.GetType().Name} derives from torch.nn.Module directly and cannot be called, so nothing can be done around its forward; derive it from Module<TInput, TResult>.";

    private static bool IsTyped(MethodInfo method, string name) => method.Name == name && method.GetParameters()[0].ParameterType != typeof(Action<Module>);

    private static Delegate PreHook(Type hookType, Type signature, Type[] types, IForwardHooks hooks)
    {
        var module = Expression.Parameter(signature);
        var arguments = types[..^1].Select(Expression.Parameter).ToArray();
        var boxed = Expression.NewArrayInit(typeof(object), arguments.Select(argument => Expression.Convert(argument, typeof(object))));
        var mapped = Expression.Variable(typeof(object?[]));
        var values = arguments.Select((argument, i) => Expression.Convert(Expression.ArrayIndex(mapped, Expression.Constant(i)), argument.Type)).ToArray();
        var result = hookType.GetGenericArguments()[^1];
        // One argument comes back as it is, several as a nullable tuple.
        Expression modified = arguments.Length == 1 ? values[0] : Expression.Convert(Expression.New(Nullable.GetUnderlyingType(result)!.GetConstructor(types[..^1])!, values), result);
        var body = Expression.Block(
            [mapped],
            Expression.Assign(mapped, Expression.Call(Expression.Constant(hooks), typeof(IForwardHooks).GetMethod(nameof(IForwardHooks.BeforeForward))!, boxed)),
            modified);
        return Expression.Lambda(hookType, body, [module, .. arguments]).Compile();
    }

    private static Delegate PostHook(Type hookType, Type signature, Type[] types, IForwardHooks hooks)
    {
        var parameters = types.Select(Expression.Parameter).Prepend(Expression.Parameter(signature)).ToArray();
        var result = parameters[^1];
        var call = Expression.Call(Expression.Constant(hooks), typeof(IForwardHooks).GetMethod(nameof(IForwardHooks.AfterForward))!, Expression.Convert(result, typeof(object)));
        return Expression.Lambda(hookType, Expression.Convert(call, result.Type), parameters).Compile();
    }

    /// <summary>TorchSharp's removers, whose type depends on the module's signature.</summary>
    private sealed class Registration(object[] removers) : IDisposable
    {
        public void Dispose()
        {
            foreach (var remover in removers) remover.GetType().GetMethod("remove")!.Invoke(remover, null);
        }
    }
}
