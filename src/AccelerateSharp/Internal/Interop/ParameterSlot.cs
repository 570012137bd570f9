using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>One parameter of a model and every place in which modules hold it.</summary>
/// <remarks>
/// Swapping makes the modules compute with another tensor while the <see cref="TorchSharp.Modules.Parameter"/> objects, and the
/// leaf behind them, stay: optimizers key their state by them.
/// </remarks>
internal sealed class ParameterSlot
{
    private readonly Parameter[] _holders;
    private readonly EmbeddingWeight[] _nativeHolders;
    private readonly nint[] _swappedIn;
    private readonly nint[] _leaves;
    private Tensor? _alias;

    /// <summary>What this thread has swapped in now.</summary>
    [ThreadStatic]
    private static HashSet<ParameterSlot>? _swappedHere;

    internal ParameterSlot(
        IReadOnlyList<string> names, IReadOnlyList<nn.Module> modules, IEnumerable<Parameter> holders, IEnumerable<EmbeddingWeight> nativeHolders, string? obstacle)
    {
        Names = names;
        Modules = modules;
        Obstacle = obstacle;
        _holders = [.. holders];
        _nativeHolders = [.. nativeHolders];
        _swappedIn = new nint[_holders.Length];
        _leaves = new nint[_holders.Length];
    }

    /// <summary>The first dotted name, as in <c>named_parameters</c>.</summary>
    internal string Name => Names[0];

    /// <summary>All dotted names: more than one for tied weights.</summary>
    internal IReadOnlyList<string> Names { get; }

    /// <summary>The modules that hold the parameter themselves.</summary>
    internal IReadOnlyList<nn.Module> Modules { get; }

    /// <summary>Every parameter that modules compute without on this thread now, because another tensor is in its place.</summary>
    internal static IReadOnlyCollection<ParameterSlot> SwappedHere => _swappedHere is { } slots ? slots : [];

    /// <summary>The parameter's first holder. While another tensor is swapped in, this object names that one.</summary>
    internal Parameter Parameter => _holders[0];

    /// <summary>Whether every module that computes with the parameter can be given another tensor.</summary>
    internal bool CanSwap => Obstacle is null;

    /// <summary>Why not: names the module that keeps its own native copy; null if <see cref="CanSwap"/>.</summary>
    internal string? Obstacle { get; }

    /// <summary>Whether another tensor is in place now.</summary>
    internal bool IsSwapped => _alias is not null;

    /// <summary>The tensor that is in place now; null where that is the parameter itself.</summary>
    internal Tensor? Alias => _alias;

    /// <summary>Lets every module compute with <paramref name="alias"/> until <see cref="SwapBack"/>; it is kept alive until then.</summary>
    internal void SwapIn(Tensor alias)
    {
        if (Obstacle is not null) throw new InvalidOperationException($"Parameter '{Name}' cannot be swapped: {Obstacle}.");
        if (IsSwapped) throw new InvalidOperationException($"Parameter '{Name}' is already swapped.");
        var handle = alias.Handle;
        _alias = alias;
        try
        {
            // Own handles: whoever disposes the alias, or a dispose scope that ends, must not leave a module with freed memory.
            for (var i = 0; i < _holders.Length; i++)
            {
                ref var field = ref TensorHandles.Field(_holders[i]);
                if (field == 0) throw new ObjectDisposedException(Name, $"Parameter '{Name}' has been disposed.");
                _swappedIn[i] = TensorHandles.Duplicate(handle);
                _leaves[i] = field;
                field = _swappedIn[i];
            }
            foreach (var holder in _nativeHolders) holder.Set(handle);
            (_swappedHere ??= []).Add(this);
        }
        catch
        {
            SwapBack();
            throw;
        }
    }

    /// <summary>Puts the leaf back everywhere. Does nothing when nothing is swapped in.</summary>
    internal void SwapBack()
    {
        if (!IsSwapped) return;
        for (var i = 0; i < _holders.Length; i++)
        {
            if (_swappedIn[i] == 0) continue;
            ref var field = ref TensorHandles.Field(_holders[i]);
            if (field == _swappedIn[i])
            {
                field = _leaves[i];
                TensorHandles.Release(_swappedIn[i]);
            }
            else
            {
                // Disposed meanwhile, which released our handle and not the leaf's: finish what was asked for.
                TensorHandles.Release(_leaves[i]);
            }
            (_swappedIn[i], _leaves[i]) = (0, 0);
        }
        _alias = null;
        _swappedHere?.Remove(this);
        foreach (var holder in _nativeHolders)
            if (TensorHandles.Field(_holders[0]) is var leaf and not 0) holder.Set(leaf);
    }
}
