using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;

namespace AccelerateSharp.Data.Sources;

/// <summary>Reads a user's sequence, remembering which of the tensors it yields it created for that purpose.</summary>
/// <remarks>
/// What one <c>MoveNext</c> both creates and yields is the loader's to free; what it yields from elsewhere, and what it creates
/// without yielding (its own state), is not touched.
/// </remarks>
internal sealed class CreationTracker<T>
{
    private readonly HashSet<Tensor> _created = new(ReferenceEqualityComparer.Instance);

    /// <summary>Moves on and returns whether there is a next element.</summary>
    public bool Read(IEnumerator<T> source)
    {
        using var scope = NewDisposeScope();
        try
        {
            if (!source.MoveNext()) return false;
            TensorTree.ForEach(source.Current, tensor =>
            {
                if (!scope.Contains(tensor)) return;
                scope.Detach(tensor);
                _created.Add(tensor);
            });
            return true;
        }
        finally
        {
            // The rest is the source's own business: it stays as it would be without us.
            scope.MoveToOuter(scope.DisposablesView);
        }
    }

    /// <summary>Frees what was created for <paramref name="element"/>, except for what <paramref name="next"/> yields again.</summary>
    public void Release(T element, T? next = default)
    {
        if (_created.Count == 0) return;
        var kept = next is null ? [] : TensorTree.Tensors(next);
        TensorTree.ForEach(element, tensor =>
        {
            if (!kept.Any(other => ReferenceEquals(other, tensor)) && _created.Remove(tensor)) tensor.Dispose();
        });
    }

    /// <summary>Frees everything that was not released yet.</summary>
    public void ReleaseAll()
    {
        foreach (var tensor in _created) tensor.Dispose();
        _created.Clear();
    }
}
