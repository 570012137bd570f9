using System.Collections;
using AccelerateSharp.Data;
using AccelerateSharp.Data.Sources;

namespace AccelerateSharp;

/// <summary>Batches of a dataset or stream, in the order of an epoch. Made by the factories of <see cref="BatchLoader"/>.</summary>
/// <remarks>
/// <para>
/// A loop over it owns its batches: when the next one is asked for, the batch and everything the loop body made of it is freed
/// (see <see cref="DataLoaderConfiguration.DisposeScopePerBatch"/>). Each loop is one epoch; a shuffled loader has another order in
/// each. <c>await foreach</c> works too.
/// </para>
/// <para>
/// A prepared loader yields this process's share, on its device. Preparing makes a new loader and leaves the old one as it was.
/// </para>
/// </remarks>
/// <typeparam name="TBatch">A tensor, or tensors in tuples, arrays, lists, dictionaries, records and structs.</typeparam>
public sealed class BatchLoader<TBatch> : IEnumerable<TBatch>, ILoaderView
{
    private readonly BatchSource<TBatch> _source;
    private readonly LoaderBinding? _binding;
    private readonly EpochCounter _epochs;
    private readonly long _skip;

    internal BatchLoader(BatchSource<TBatch> source)
        : this(source, null, new EpochCounter(), 0)
    {
    }

    private BatchLoader(BatchSource<TBatch> source, LoaderBinding? binding, EpochCounter epochs, long skip)
    {
        _source = source;
        _binding = binding;
        _epochs = epochs;
        _skip = skip;
    }

    /// <summary>
    /// Batches that a loop over this loader yields in this process: after preparing, one per global step in which this process has a
    /// batch, which is about 1/P of the unprepared loader's on P processes, and as many as the unprepared loader's with split batches.
    /// </summary>
    /// <exception cref="InvalidOperationException">The loader reads a stream of unknown length.</exception>
    public long Count => TryGetCount(out var count)
        ? count
        : throw new InvalidOperationException("This loader reads a stream, whose length is known only at its end. Count steps instead.");

    /// <summary>Samples per batch as the loader was made (all processes together with split batches); null when batches come ready made.</summary>
    public int? BatchSize => _source.BatchSize;

    /// <summary>Samples of a step, counted over all processes; null when batches come ready made.</summary>
    public int? TotalBatchSize => _binding is { Configuration.SplitBatches: false } ? _source.BatchSize * _binding.Context.Size : _source.BatchSize;

    /// <summary>Whether an accelerator prepared this loader.</summary>
    public bool IsPrepared => _binding is not null;

    internal LoaderBinding? Binding => _binding;

    LoaderBinding? ILoaderView.Binding => _binding;

    /// <summary>Like <see cref="Count"/>, without an exception for streams.</summary>
    /// <param name="count">The number of batches, or 0.</param>
    /// <returns>Whether it is known.</returns>
    public bool TryGetCount(out long count)
    {
        var whole = _source.Count(_binding ?? LoaderBinding.None);
        count = Math.Max(0, whole.GetValueOrDefault() - _skip);
        return whole is not null;
    }

    /// <summary>Makes the next loop epoch number <paramref name="epoch"/>, which decides its order when the loader has a seed.</summary>
    /// <param name="epoch">Number of the epoch, from 0.</param>
    public void SetEpoch(long epoch) => _epochs.Set(epoch);

    /// <summary>A view of this loader whose loops start after the first batches; for the rest of an epoch that was broken off.</summary>
    /// <remarks>
    /// The view keeps everything else, metric truncation and the count of epochs included. Skipping costs nothing where samples are
    /// read by index; a stream is read over. Use the view for one epoch, the loader for the others.
    /// </remarks>
    /// <param name="batches">How many batches (of this process) to leave out.</param>
    /// <returns>The view; its <see cref="Count"/> is smaller by as many.</returns>
    public BatchLoader<TBatch> SkipFirst(long batches)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batches);
        return new BatchLoader<TBatch>(_source, _binding, _epochs, _skip + batches);
    }

    /// <summary>Starts an epoch.</summary>
    /// <returns>The batches. To be disposed of, as <c>foreach</c> does, also when the loop ends early.</returns>
    public IEnumerator<TBatch> GetEnumerator() => new LoaderEnumerator<TBatch>(Open, _binding ?? LoaderBinding.None);

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    object ILoaderView.Skip(long batches) => SkipFirst(batches);

    /// <summary>Starts an epoch for <c>await foreach</c>. Batches are freed when the next is asked for; what is made of them is not.</summary>
    /// <param name="cancellationToken">Ends the loop with an exception.</param>
    /// <returns>The batches.</returns>
    public IAsyncEnumerator<TBatch> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        new LoaderEnumerator<TBatch>(Open, _binding ?? LoaderBinding.None, cancellationToken);

    internal BatchLoader<TBatch> Bind(LoaderBinding binding)
    {
        _source.Check(binding);
        return new BatchLoader<TBatch>(_source, binding, _epochs, _skip);
    }

    private IBatchPass<TBatch> Open() => _source.Open(_epochs.Take(), _skip, _binding ?? LoaderBinding.None);
}
