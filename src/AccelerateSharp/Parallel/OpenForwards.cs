using System.Diagnostics;
using System.Reflection;
using TorchSharp;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>The prepared models whose forward runs on this thread, outermost first, and what is in force for each.</summary>
/// <remarks>
/// <para>
/// TorchSharp's <c>call</c> runs the hooks around forward without a <c>finally</c>: when forward throws, the hook behind it never
/// runs. What the forward put into force must end all the same, or the code that catches the exception computes in another precision.
/// </para>
/// <para>
/// So the runtime's notice of a thrown exception ends it, before the stack unwinds, wherever no method between the throw and
/// the model's <c>call</c> has a catch clause, which is nearly always. Where one has, the forward may yet go on, and nothing changes; should it
/// not go on, then the next entry into a prepared model or an accelerator on this thread finds more open forwards than there are
/// calls on the stack, and ends the rest.
/// </para>
/// </remarks>
internal static class OpenForwards
{
    [ThreadStatic]
    private static Stack<OpenForward>? _open;

    [ThreadStatic]
    private static bool _handling;

    static OpenForwards() => AppDomain.CurrentDomain.FirstChanceException += (_, _) => OnThrow();

    /// <summary>Number of forwards that this thread has open.</summary>
    public static int Count => _open?.Count ?? 0;

    /// <summary>Before forward: puts every region into force.</summary>
    public static void Enter(Module model, IReadOnlyList<IForwardRegion> regions)
    {
        CloseAbandoned(except: 1);
        var open = _open ??= new();
        var nested = open.Any(other => other.Model == model);
        var forward = new OpenForward(model, regions.Count);
        try
        {
            foreach (var region in regions) forward.Add(region.Enter(nested));
        }
        catch
        {
            forward.Close();
            throw;
        }

        open.Push(forward);
    }

    /// <summary>After forward: ends what <see cref="Enter"/> began.</summary>
    public static void Leave(Module model)
    {
        if (Count > 1) CloseAbandoned(except: 0);
        if (_open is not { } open || open.All(other => other.Model != model)) return;
        while (open.TryPop(out var forward))
        {
            forward.Close();
            if (forward.Model == model) return;
        }
    }

    /// <summary>Ends what forwards left that are no longer on this thread's stack.</summary>
    /// <param name="except">Calls on the stack that have not opened theirs yet.</param>
    public static void CloseAbandoned(int except = 0)
    {
        if (_open is not { Count: > 0 } open) return;
        var running = new StackTrace().GetFrames().Count(frame => IsModuleCall(frame.GetMethod())) - except;
        while (open.Count > Math.Max(0, running)) open.Pop().Close();
    }

    /// <summary>Called on the throwing thread before anything is unwound.</summary>
    private static void OnThrow()
    {
        if (_open is not { Count: > 0 } open || _handling) return;
        _handling = true;
        try
        {
            if (MayBeCaughtInside(new StackTrace(1))) return;
            while (open.TryPop(out var forward)) forward.Close();
        }
        catch (Exception)
        {
            // An exception here would end the process; the next entry point tries again.
        }
        finally
        {
            _handling = false;
        }
    }

    /// <summary>Whether a method between the throw and the outermost module call could catch. An unknown method counts as one that does.</summary>
    private static bool MayBeCaughtInside(StackTrace stack)
    {
        var methods = stack.GetFrames().Select(frame => frame.GetMethod()).SkipWhile(IsRuntime).ToList();
        var outermost = methods.FindLastIndex(IsModuleCall);
        return methods.Take(outermost).Any(HasCatch);
    }

    private static bool IsModuleCall(MethodBase? method) =>
        method is { Name: "call", DeclaringType: { IsGenericType: true } type } && type.Assembly == typeof(torch).Assembly;

    /// <summary>The frames between the throw and our handler.</summary>
    private static bool IsRuntime(MethodBase? method) =>
        method?.DeclaringType is { } type && (type.DeclaringType ?? type) is var outer
        && (outer == typeof(OpenForwards) || outer == typeof(AppContext) || outer == typeof(AppDomain) || outer.FullName == "System.Runtime.EH");

    private static bool HasCatch(MethodBase? method)
    {
        try
        {
            return method?.GetMethodBody() is { } body
                ? body.ExceptionHandlingClauses.Any(clause => clause.Flags is ExceptionHandlingClauseOptions.Clause or ExceptionHandlingClauseOptions.Filter)
                : method?.Attributes.HasFlag(MethodAttributes.PinvokeImpl) != true;
        }
        catch (InvalidOperationException)
        {
            // Compiled at run time: nothing is known of its body.
            return true;
        }
    }

    private sealed class OpenForward(Module model, int capacity)
    {
        private readonly List<IDisposable> _inForce = new(capacity);

        public Module Model { get; } = model;

        public void Add(IDisposable? region)
        {
            if (region is not null) _inForce.Add(region);
        }

        public void Close()
        {
            for (var i = _inForce.Count - 1; i >= 0; i--) _inForce[i].Dispose();
            _inForce.Clear();
        }
    }
}
