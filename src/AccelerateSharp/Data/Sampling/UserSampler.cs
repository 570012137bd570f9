namespace AccelerateSharp.Data.Sampling;

/// <summary>A sampler the user wrote. It must yield the same indices on every rank; that is checked when an epoch starts.</summary>
/// <remarks>
/// The check compares a checksum of the first <see cref="Checked"/> indices over the ranks: one small message per epoch. Under
/// <c>DispatchBatches</c> rank 0's order counts and no other rank asks its own sampler.
/// </remarks>
internal sealed class UserSampler(IEnumerable<long> indices, long? count) : IIndexSampler
{
    /// <summary>How many indices the check covers.</summary>
    public const int Checked = 65_536;

    public long? Count => count;

    public IEnumerable<long> Begin(long epoch, IDataParallelContext context)
    {
        if (context.Size == 1) return indices;
        var enumerator = indices.GetEnumerator();
        try
        {
            var prefix = new List<long>();
            while (prefix.Count < Checked && enumerator.MoveNext()) prefix.Add(enumerator.Current);
            Compare(prefix, epoch, context);
            return Continue(prefix, enumerator);
        }
        catch
        {
            enumerator.Dispose();
            throw;
        }
    }

    private static void Compare(List<long> prefix, long epoch, IDataParallelContext context)
    {
        // FNV-1a over whole indices: order matters, and it is the same on every machine.
        var checksum = prefix.Aggregate(14695981039346656037UL, (hash, index) => (hash ^ (ulong)index) * 1099511628211UL);
        var all = context.AllGatherObject($"{prefix.Count} indices, checksum {checksum:x16}");
        for (var rank = 1; rank < all.Count; rank++)
        {
            if (all[rank] == all[0]) continue;
            throw new InvalidOperationException(
                $"The loader's own sampler yields other indices on rank {rank} ({all[rank]}) than on rank 0 ({all[0]}) in epoch {epoch}, "
                + "so ranks would train on overlapping data. Make it deterministic (seed it from the epoch), or set "
                + "DataLoaderConfiguration.DispatchBatches so that rank 0's order is used everywhere.");
        }
    }

    private static IEnumerable<long> Continue(List<long> prefix, IEnumerator<long> rest)
    {
        using (rest)
        {
            foreach (var index in prefix) yield return index;
            while (rest.MoveNext()) yield return rest.Current;
        }
    }
}
