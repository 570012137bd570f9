using System.Runtime.CompilerServices;
using AccelerateSharp.Data.Trees;

namespace AccelerateSharp.Data.Sources;

/// <summary>Joins batches into global steps that divide evenly by the number of ranks, and cuts one rank's rows out of a step.</summary>
internal static class GlobalSteps
{
    /// <summary>
    /// Steps of <paramref name="perStep"/> batches each. Rows that do not divide wait for the next step; at the end of the epoch the
    /// rest is filled up from the first rows of the epoch (with <paramref name="even"/>), left uneven, or dropped.
    /// </summary>
    /// <remarks>
    /// The reference refuses batches of different sizes here, and gives a rank an empty batch, on which it hangs, when the first
    /// batch has fewer rows than there are ranks. Neither happens here.
    /// </remarks>
    public static async IAsyncEnumerable<RankBatch<TBatch>> Assemble<TBatch>(
        IAsyncEnumerable<TBatch> batches, int perStep, int size, bool even, bool dropLast,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await using var source = batches.GetAsyncEnumerator(cancellationToken);
        var step = new List<TBatch>(); // owned: what is waiting to become a step
        TBatch? first = default;
        var hasFirst = false;
        var usual = 0;
        try
        {
            var more = await source.MoveNextAsync().ConfigureAwait(false);
            while (more)
            {
                var count = 0;
                while (more && count < perStep)
                {
                    step.Add(source.Current);
                    count++;
                    more = await source.MoveNextAsync().ConfigureAwait(false);
                }
                if (count < perStep && dropLast) yield break;
                var whole = Join(step);
                var rows = (int)Rows(whole);
                if (!hasFirst)
                {
                    first = Copy(whole, 0, Math.Min(rows, size));
                    hasFirst = true;
                    usual = rows;
                }
                var surplus = rows % size;
                if (more || dropLast)
                {
                    if (surplus > 0 && more) step.Add(Copy(whole, rows - surplus, surplus));
                    if (surplus > 0) whole = Cut(whole, 0, rows - surplus);
                    if (rows > surplus) yield return new RankBatch<TBatch>(whole, dropLast ? -1 : 0);
                    else Ownership.Dispose(whole);
                    continue;
                }
                if (surplus > 0 && even) whole = Fill(whole, first!, size - surplus);
                yield return new RankBatch<TBatch>(whole, surplus > 0 || count < perStep || rows < usual ? rows : 0);
            }
        }
        finally
        {
            foreach (var waiting in step) Ownership.Dispose(waiting);
            if (hasFirst) Ownership.Dispose(first);
        }
    }

    /// <summary>One rank's rows of a step, copied; default when there is none for it.</summary>
    public static TBatch? Share<TBatch>(TBatch step, int size, int rank)
    {
        var rows = (int)Rows(step);
        var (each, extra) = Math.DivRem(rows, size);
        var count = each + (rank < extra ? 1 : 0);
        return count == 0 ? default : Copy(step, rank * each + Math.Min(rank, extra), count);
    }

    public static long Rows<TBatch>(TBatch batch) => TensorTree.FindBatchSize(batch) ?? throw new ArgumentException(
        $"A batch of type {typeof(TBatch).Name} holds no tensor with rows, so it cannot be shared out to the ranks row by row. "
        + "Set DataLoaderConfiguration.SplitBatches and DispatchBatches to false.");

    /// <summary>A step with <paramref name="missing"/> more rows, taken from <paramref name="first"/> over and over; disposes of the old one.</summary>
    public static TBatch Fill<TBatch>(TBatch whole, TBatch first, int missing)
    {
        var available = (int)Rows(first);
        var parts = new List<TBatch> { whole };
        for (; missing > 0; missing -= Math.Min(missing, available)) parts.Add(Copy(first, 0, Math.Min(missing, available)));
        return Join(parts);
    }

    /// <summary>Some rows, copied: a view would keep the whole step in memory.</summary>
    public static TBatch Copy<TBatch>(TBatch batch, long start, long length) => Ownership.Capture(() =>
        TensorTree.Map(TensorTree.Slice(batch, start, length), tensor => tensor.clone()));

    private static TBatch Join<TBatch>(List<TBatch> step)
    {
        if (step.Count == 1)
        {
            var only = step[0];
            step.Clear();
            return only;
        }
        try
        {
            return Ownership.Capture(() => TensorTree.Concatenate(step));
        }
        catch (Exception error) when (error is ArgumentException or System.Runtime.InteropServices.ExternalException)
        {
            throw new ArgumentException(
                "Batches that go out to the ranks together must agree in everything but the number of rows: "
                + string.Join(" | ", step.Select(batch => string.Join(' ', TensorTree.Tensors(batch).Select(tensor => $"[{string.Join(',', tensor.shape)}]"))))
                + ". Pad them to one length, or set DataLoaderConfiguration.DispatchBatches and SplitBatches to false.", error);
        }
        finally
        {
            foreach (var batch in step) Ownership.Dispose(batch);
            step.Clear();
        }
    }

    private static TBatch Cut<TBatch>(TBatch whole, long start, long length)
    {
        var cut = Copy(whole, start, length);
        Ownership.Dispose(whole);
        return cut;
    }
}
