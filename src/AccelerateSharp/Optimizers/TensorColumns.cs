using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>Brings tensors into the form that list kernels take: one device, one dtype and one layout per call.</summary>
/// <remarks>
/// A row is a parameter, its gradient and its state tensors. Rows that are uniform in themselves go to the kernel as they are. The
/// others - bfloat16 parameters with float32 states, odd layouts - pass through float32 copies, in pieces of
/// <see cref="PieceElements"/>, so that the copies stay small beside the model.
/// </remarks>
internal static class TensorColumns
{
    /// <summary>Elements that are copied at once: 64 MB for each column.</summary>
    internal const long PieceElements = 16L << 20;

    /// <summary>Calls <paramref name="kernel"/> with columns (all parameters, all gradients, …) until every row was in one.</summary>
    /// <param name="rows">The rows, all with the same number of tensors.</param>
    /// <param name="kernel">
    /// Writes to any column but the gradients'. The second argument has the index of the row behind each entry. A row may come in
    /// pieces, each one an entry.
    /// </param>
    /// <param name="bounded">Whether the kernel needs temporary memory of the size of a column, which then is kept to a piece.</param>
    public static void ForEach(IReadOnlyList<Tensor[]> rows, Action<Tensor[][], int[]> kernel, bool bounded = false)
    {
        foreach (var group in Enumerable.Range(0, rows.Count).GroupBy(row => (Device: rows[row][0].device.ToString(), Dtype: UniformDtype(rows[row]))))
        {
            if (group.Key.Dtype is null) Staged(rows, [.. group], kernel);
            else Direct(rows, [.. group], kernel, bounded ? PieceElements : long.MaxValue);
        }
    }

    /// <summary>The dtype that all tensors of the row have, if they agree in dtype and layout; a gradient in another layout is copied.</summary>
    private static ScalarType? UniformDtype(Tensor[] row)
    {
        var strides = row[0].stride();
        for (var i = 0; i < row.Length; i++)
        {
            if (row[i].dtype != row[0].dtype) return null;
            if (row[i].stride().SequenceEqual(strides)) continue;
            if (i != 1) return null;
            row[i] = empty_like(row[0]).copy_(row[i]);
            if (!row[i].stride().SequenceEqual(strides)) return null;
        }
        return row[0].dtype;
    }

    private static void Direct(IReadOnlyList<Tensor[]> rows, int[] members, Action<Tensor[][], int[]> kernel, long limit)
    {
        for (var start = 0; start < members.Length;)
        {
            var end = start;
            for (var elements = 0L; end < members.Length && elements < limit; end++) elements += rows[members[end]][0].numel();
            var batch = members[start..end];
            kernel(Columns([.. batch.Select(row => rows[row])]), batch);
            start = end;
        }
    }

    private static void Staged(IReadOnlyList<Tensor[]> rows, int[] members, Action<Tensor[][], int[]> kernel)
    {
        var pieces = members.SelectMany(row => Cut(rows[row]).Select(piece => (Row: row, Tensors: piece)));
        var (batch, elements) = (new List<(int Row, Tensor[] Tensors)>(), 0L);
        foreach (var piece in pieces)
        {
            batch.Add(piece);
            elements += piece.Tensors[0].numel();
            if (elements < PieceElements) continue;
            Run();
        }
        if (batch.Count > 0) Run();

        void Run()
        {
            using var scope = NewDisposeScope();
            var dtype = batch.Exists(piece => Array.Exists(piece.Tensors, tensor => tensor.dtype == ScalarType.Float64)) ? ScalarType.Float64 : ScalarType.Float32;
            var copies = batch.ConvertAll(piece => Array.ConvertAll(piece.Tensors, tensor => tensor.to(dtype).contiguous()));
            kernel(Columns(copies), [.. batch.Select(piece => piece.Row)]);
            foreach (var (piece, copy) in batch.Zip(copies))
                for (var i = 0; i < copy.Length; i++)
                    if (i != 1 && !ReferenceEquals(copy[i], piece.Tensors[i]) && !SameMemory(copy[i], piece.Tensors[i])) piece.Tensors[i].copy_(copy[i]);
            (batch, elements) = ([], 0);
        }
    }

    /// <summary>Contiguous rows in pieces; another one as it is.</summary>
    private static IEnumerable<Tensor[]> Cut(Tensor[] row)
    {
        var count = row[0].numel();
        if (count <= PieceElements || !Array.TrueForAll(row, tensor => tensor.is_contiguous()))
        {
            yield return row;
            yield break;
        }
        for (var start = 0L; start < count; start += PieceElements)
        {
            var length = Math.Min(PieceElements, count - start);
            yield return Array.ConvertAll(row, tensor => tensor.view(-1).narrow(0, start, length));
        }
    }

    /// <summary>Whether the conversion had nothing to do: then the kernel has written to the tensor itself.</summary>
    private static bool SameMemory(Tensor a, Tensor b) =>
        Internal.Interop.TensorStorage.Address(a) == Internal.Interop.TensorStorage.Address(b) && a.storage_offset() == b.storage_offset();

    private static Tensor[][] Columns(IReadOnlyList<Tensor[]> rows) =>
        [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Select(row => row[column]).ToArray())];
}
