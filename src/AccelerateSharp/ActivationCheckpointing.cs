using AccelerateSharp.Data.Trees;
using AccelerateSharp.Parallel;
using AccelerateSharp.Parallel.Recomputation;
using AccelerateSharp.Parallel.Sharding;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Trades computation for memory: activations are not kept for backward but computed again there. Gradients stay the same to the last bit.</summary>
/// <remarks>
/// <para>
/// Random numbers (dropout) and autocast are those of the first time. Inputs and results may be tensors, tuples, lists and the like; anything else is
/// passed through. Without gradients, and inside of another checkpointed call, nothing is different from a plain call.
/// </para>
/// <para>
/// Works with data-parallel and sharded models and without any; no second derivatives. An exception while
/// computing again is thrown by <see cref="Accelerator.Backward"/>; a plain <c>backward()</c> cannot throw it, the next checkpointed call
/// does.
/// </para>
/// </remarks>
public static class ActivationCheckpointing
{
    /// <summary>Calls a function whose activations are computed again in backward.</summary>
    /// <param name="function">The function. It is called twice with the same arguments and has to compute the same.</param>
    /// <param name="input">Its argument. Tensors in it get gradients; tensors that the function closes over get none, parameters of modules do.</param>
    /// <param name="preserveRngState">Whether the second call draws the random numbers of the first; false saves a few microseconds where there are none.</param>
    /// <returns>What the function returned; its floating-point tensors take part in backward.</returns>
    public static TResult Checkpoint<T, TResult>(Func<T, TResult> function, T input, bool preserveRngState = true)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run<TResult>(arguments => function((T)arguments[0]!), [input], preserveRngState);
    }

    /// <inheritdoc cref="Checkpoint{T, TResult}(Func{T, TResult}, T, bool)"/>
    public static TResult Checkpoint<T1, T2, TResult>(Func<T1, T2, TResult> function, T1 first, T2 second, bool preserveRngState = true)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run<TResult>(arguments => function((T1)arguments[0]!, (T2)arguments[1]!), [first, second], preserveRngState);
    }

    /// <inheritdoc cref="Checkpoint{T, TResult}(Func{T, TResult}, T, bool)"/>
    public static TResult Checkpoint<T1, T2, T3, TResult>(Func<T1, T2, T3, TResult> function, T1 first, T2 second, T3 third, bool preserveRngState = true)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run<TResult>(arguments => function((T1)arguments[0]!, (T2)arguments[1]!, (T3)arguments[2]!), [first, second, third], preserveRngState);
    }

    /// <inheritdoc cref="Checkpoint{T, TResult}(Func{T, TResult}, T, bool)"/>
    public static TResult Checkpoint<T1, T2, T3, T4, TResult>(Func<T1, T2, T3, T4, TResult> function, T1 first, T2 second, T3 third, T4 fourth, bool preserveRngState = true)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run<TResult>(arguments => function((T1)arguments[0]!, (T2)arguments[1]!, (T3)arguments[2]!, (T4)arguments[3]!), [first, second, third, fourth], preserveRngState);
    }

    /// <summary>Computes the activations of some modules of a model again in backward, whenever they are entered through <c>call</c>.</summary>
    /// <remarks>Before or after <c>Prepare</c>. The modules stay the same objects; doing it twice changes nothing more.</remarks>
    /// <param name="model">The model.</param>
    /// <param name="where">
    /// Which of its modules, by dotted name and module; by default its layers: those that it declares (<see cref="ITransformerModel"/>), else the
    /// class that it repeats most.
    /// </param>
    /// <returns>How many modules are checkpointed by this.</returns>
    /// <exception cref="ArgumentException">No layers were named and none can be guessed, or no module was chosen, or one that cannot be called.</exception>
    public static int Apply(Module model, Func<string, Module, bool>? where = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        where ??= WrapPolicies.ByClass(model, names: null, "Activation checkpointing");
        var chosen = model.named_modules().Where(item => where(item.name, item.module)).Select(item => item.module).Distinct<Module>(ReferenceEqualityComparer.Instance).ToList();
        if (chosen.Count == 0) throw new ArgumentException($"Activation checkpointing: no module of {model.GetName()} was chosen.", nameof(where));
        foreach (var module in chosen)
            if (!UnitHooks.Checkpoint(module)) CheckpointHooks.PutOn(module);
        return chosen.Count;
    }

    private static TResult Run<TResult>(Func<object?[], object?> function, object?[] arguments, bool preserveRngState)
    {
        if (CheckpointedCall.Begin(function, arguments, modules: null, preserveRngState) is not { } call) return (TResult)function(arguments)!;
        var scope = new ForwardScope();
        scope.Open();
        object? result;
        try
        {
            result = function(arguments);
        }
        catch
        {
            scope.Abandon();
            call.Abandon();
            throw;
        }

        result = call.End(result, trains: true);
        scope.Close(result, TensorTree.Tensors(result));
        return (TResult)result!;
    }
}
