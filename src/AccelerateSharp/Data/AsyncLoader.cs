namespace AccelerateSharp.Data;

/// <summary>A loader in the form that a variable of type <c>IAsyncEnumerable</c> takes.</summary>
/// <remarks>
/// <see cref="BatchLoader{TBatch}"/> itself is an <c>IEnumerable</c> only: a type that is both makes every LINQ call on it ambiguous.
/// </remarks>
internal sealed class AsyncLoader<TBatch>(BatchLoader<TBatch> loader) : IAsyncEnumerable<TBatch>, ILoaderView
{
    public LoaderBinding? Binding => loader.Binding;

    public int? BatchSize => loader.BatchSize;

    public object Skip(long batches) => new AsyncLoader<TBatch>(loader.SkipFirst(batches));

    public void SetEpoch(long epoch) => loader.SetEpoch(epoch);

    public IAsyncEnumerator<TBatch> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        loader.GetAsyncEnumerator(cancellationToken);
}
