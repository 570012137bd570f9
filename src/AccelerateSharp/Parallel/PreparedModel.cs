using System.Linq.Expressions;
using System.Reflection;
using AccelerateSharp.Parallel.Sharding;
using AccelerateSharp.Precision;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch.nn;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>A model with the hooks that make it part of a run.</summary>
internal sealed class PreparedModel : IDisposable
{
    private static readonly MethodInfo _afterForward = typeof(PreparedModel).GetMethod(nameof(AfterForward), BindingFlags.Instance | BindingFlags.NonPublic)!;

    private readonly List<IForwardRegion> _regions;
    private readonly List<object> _hooks = [];
    private bool _convertsOutputs;

    /// <param name="model">The model; it stays the same object.</param>
    /// <param name="synchronizer">Brings its gradients together over the ranks; null where there is nothing to do.</param>
    /// <param name="regions">What is in force while its forward runs, outermost first.</param>
    /// <param name="float8">Its linear layers under fp8; null under another precision.</param>
    /// <param name="convertsOutputs">Whether its half-precision outputs become float32.</param>
    public PreparedModel(Module model, IGradientSynchronizer? synchronizer, IEnumerable<IForwardRegion> regions, Fp8Model? float8, bool convertsOutputs)
    {
        Model = model;
        Synchronizer = synchronizer;
        Float8 = float8;
        _regions = [.. regions];
        _convertsOutputs = convertsOutputs;
        if (_regions.Count == 0) return;
        var hookable = Hookable(model);
        Hook(hookable, "register_forward_pre_hook", (Action<Module>)(_ => OpenForwards.Enter(Model, _regions)));
        // Not the plain Action<Module> after the forward: only the typed hook can replace the result.
        Hook(hookable, "register_forward_hook", ResultHook(hookable.GetGenericArguments()[1]));
    }

    public Module Model { get; }

    public IGradientSynchronizer? Synchronizer { get; }

    public Fp8Model? Float8 { get; }

    /// <summary>Whether its forward runs under autocast.</summary>
    public bool ComputesUnderAutocast => _regions.Exists(region => region is AutocastRegion);

    /// <summary>From now on the forward computes, and answers, in the precision of the weights.</summary>
    public void RestorePrecision()
    {
        _regions.RemoveAll(region => region is not (ReducerRegion or ShardingRegion));
        _convertsOutputs = false;
    }

    public void Dispose()
    {
        foreach (var hook in _hooks) hook.GetType().GetMethod("remove")!.Invoke(hook, null);
        Float8?.Dispose();
        Synchronizer?.Dispose();
    }

    /// <summary>The base type that has the hooks; its type arguments follow the model's signature.</summary>
    private static Type Hookable(Module model)
    {
        for (var type = model.GetType(); type is not null; type = type.BaseType)
            if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(HookableModule<,>)) return type;
        throw new ArgumentException(
            $"Accelerator.Prepare: {model.GetType().Name} derives from torch.nn.Module directly and cannot be called; derive it from Module<TInput, TResult>.", nameof(model));
    }

    private void Hook(Type hookable, string method, Delegate hook) =>
        _hooks.Add(hookable.GetMethod(method, [hook.GetType()])!.Invoke(Model, [hook])!);

    /// <summary>A delegate like <c>Func&lt;Module, TInput, TResult, TResult&gt;</c> that hands the last argument to <see cref="AfterForward"/>.</summary>
    private Delegate ResultHook(Type type)
    {
        var signature = type.GetMethod("Invoke")!;
        var parameters = signature.GetParameters().Select(parameter => Expression.Parameter(parameter.ParameterType)).ToArray();
        var body = Expression.Call(Expression.Constant(this), _afterForward.MakeGenericMethod(signature.ReturnType), parameters[^1]);
        return Expression.Lambda(type, body, parameters).Compile();
    }

    private TResult AfterForward<TResult>(TResult result)
    {
        OpenForwards.Leave(Model);
        return _convertsOutputs ? OutputCast.ToFloat32(result) : result;
    }
}
