using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>The dispose scope of one forward: what it made goes when it ends, and its results live on in the scope around it.</summary>
internal sealed class ForwardScope
{
    private DisposeScope? _scope;

    public void Open() => _scope = NewDisposeScope();

    /// <summary>Ends it behind a forward that has ended.</summary>
    /// <param name="result">What the forward returned.</param>
    /// <param name="tensors">The tensors in it.</param>
    public void Close(object? result, IEnumerable<Tensor> tensors)
    {
        // What nobody can look into may hold tensors of the forward.
        if (Data.Trees.TensorTree.Others(result).Exists(static leaf => leaf is not null and not string && !leaf.GetType().IsValueType))
        {
            Abandon();
            return;
        }

        if (_scope is not { } scope) return;
        _scope = null;
        // Attention without weights returns a tensor that is none in their place.
        scope.MoveToOuter(tensors.Where(static tensor => !tensor.IsInvalid));
        scope.Dispose();
    }

    /// <summary>Ends it behind a forward that threw: nobody knows who still uses what, so all goes to the one around it.</summary>
    public void Abandon()
    {
        if (_scope is not { } scope) return;
        _scope = null;
        scope.MoveToOuter(scope.DisposablesView);
        scope.Dispose();
    }
}
