using AccelerateSharp.Data.Sources;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Makes loaders.</summary>
/// <remarks>
/// Parameters that several factories share: <c>shuffle</c> gives every epoch another order; <c>seed</c> makes epoch e's order that
/// of <c>torch.randperm</c> under seed + e (without one, each epoch draws its seed from torch's global generator); <c>dropLast</c>
/// leaves an incomplete last batch out; <c>workers</c> threads read ahead of the loop (0: the loop's thread reads), each
/// <c>prefetch</c> batches; <c>pinMemory</c> puts batches into page-locked memory, for faster copies to a GPU (ignored without one).
/// </remarks>
public static class BatchLoader
{
    /// <summary>Rows of two tensors, which belong together: samples and their targets.</summary>
    /// <param name="inputs">Samples along dimension 0. Stays the caller's.</param>
    /// <param name="targets">As many rows as <paramref name="inputs"/>. Stays the caller's.</param>
    /// <param name="batchSize">Rows per batch.</param>
    /// <param name="shuffle">Whether each epoch has another order.</param>
    /// <param name="seed">Decides the orders.</param>
    /// <param name="dropLast">Whether an incomplete last batch is left out.</param>
    /// <param name="workers">Threads that read ahead.</param>
    /// <param name="prefetch">Batches each worker is ahead.</param>
    /// <param name="pinMemory">Whether batches go through page-locked memory.</param>
    /// <returns>Batches of rows; each is a copy.</returns>
    /// <exception cref="ArgumentException">The tensors differ in their number of rows.</exception>
    public static BatchLoader<(Tensor Inputs, Tensor Targets)> FromTensors(
        Tensor inputs, Tensor targets, int batchSize, bool shuffle = false, long? seed = null, bool dropLast = false,
        int workers = 0, int prefetch = 2, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        ArgumentNullException.ThrowIfNull(targets);
        if (inputs.dim() == 0 || targets.dim() == 0 || inputs.shape[0] != targets.shape[0])
        {
            throw new ArgumentException(
                $"Inputs [{string.Join(", ", inputs.shape)}] and targets [{string.Join(", ", targets.shape)}] must have the same number of rows.");
        }
        return FromIndexed(
            inputs.shape[0], batchSize, shuffle, seed, dropLast,
            rows => (Inputs: Select(inputs, rows), Targets: Select(targets, rows)), workers, prefetch, pinMemory);
    }

    /// <summary>Rows of a tensor.</summary>
    /// <param name="rows">Samples along dimension 0. Stays the caller's.</param>
    /// <param name="batchSize">Rows per batch.</param>
    /// <param name="shuffle">Whether each epoch has another order.</param>
    /// <param name="seed">Decides the orders.</param>
    /// <param name="dropLast">Whether an incomplete last batch is left out.</param>
    /// <param name="workers">Threads that read ahead.</param>
    /// <param name="prefetch">Batches each worker is ahead.</param>
    /// <param name="pinMemory">Whether batches go through page-locked memory.</param>
    /// <returns>Batches of rows; each is a copy.</returns>
    public static BatchLoader<Tensor> FromTensor(
        Tensor rows, int batchSize, bool shuffle = false, long? seed = null, bool dropLast = false,
        int workers = 0, int prefetch = 2, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(rows);
        if (rows.dim() == 0) throw new ArgumentException("A tensor without dimensions has no rows.", nameof(rows));
        return FromIndexed(
            rows.shape[0], batchSize, shuffle, seed, dropLast, indices => Select(rows, indices), workers, prefetch, pinMemory);
    }

    /// <summary>Samples of a list.</summary>
    /// <typeparam name="TSample">What the list holds.</typeparam>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="samples">The dataset. With workers, its indexer is called from several threads at once.</param>
    /// <param name="batchSize">Samples per batch.</param>
    /// <param name="collate">Joins samples to a batch. What it creates besides the batch is freed.</param>
    /// <param name="shuffle">Whether each epoch has another order.</param>
    /// <param name="seed">Decides the orders.</param>
    /// <param name="dropLast">Whether an incomplete last batch is left out.</param>
    /// <param name="workers">Threads that read ahead.</param>
    /// <param name="prefetch">Batches each worker is ahead.</param>
    /// <param name="pinMemory">Whether batches go through page-locked memory.</param>
    /// <returns>The loader. A sample that cannot be read ends its loop with a <see cref="DataLoadingException"/>.</returns>
    public static BatchLoader<TBatch> FromDataset<TSample, TBatch>(
        IReadOnlyList<TSample> samples, int batchSize, Func<IReadOnlyList<TSample>, TBatch> collate, bool shuffle = false, long? seed = null,
        bool dropLast = false, int workers = 0, int prefetch = 2, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(samples);
        return FromFunction(
            samples.Count, index => samples[checked((int)index)], batchSize, collate, shuffle, seed, dropLast, workers, prefetch, pinMemory);
    }

    /// <summary>Samples that a function reads.</summary>
    /// <typeparam name="TSample">What the function returns.</typeparam>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="count">Number of samples.</param>
    /// <param name="getSample">
    /// Reads the sample of an index below <paramref name="count"/>. With workers, called from several threads at once. Tensors it creates
    /// are freed once they are collated; those it keeps must be detached from the dispose scope.
    /// </param>
    /// <param name="batchSize">Samples per batch.</param>
    /// <param name="collate">Joins samples to a batch. What it creates besides the batch is freed.</param>
    /// <param name="shuffle">Whether each epoch has another order.</param>
    /// <param name="seed">Decides the orders.</param>
    /// <param name="dropLast">Whether an incomplete last batch is left out.</param>
    /// <param name="workers">Threads that read ahead.</param>
    /// <param name="prefetch">Batches each worker is ahead.</param>
    /// <param name="pinMemory">Whether batches go through page-locked memory.</param>
    /// <returns>The loader. A sample that cannot be read ends its loop with a <see cref="DataLoadingException"/>.</returns>
    public static BatchLoader<TBatch> FromFunction<TSample, TBatch>(
        long count, Func<long, TSample> getSample, int batchSize, Func<IReadOnlyList<TSample>, TBatch> collate, bool shuffle = false,
        long? seed = null, bool dropLast = false, int workers = 0, int prefetch = 2, bool pinMemory = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentNullException.ThrowIfNull(getSample);
        ArgumentNullException.ThrowIfNull(collate);
        return FromIndexed(
            count, batchSize, shuffle, seed, dropLast, SampleReader.Create(getSample, collate), workers, prefetch, pinMemory);
    }

    /// <summary>Samples of a sequence, read in order.</summary>
    /// <typeparam name="TSample">What the sequence holds.</typeparam>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="samples">Enumerated once per epoch; the same sequence on every process that reads it.</param>
    /// <param name="batchSize">Samples per batch.</param>
    /// <param name="collate">Joins samples to a batch. What it creates besides the batch is freed.</param>
    /// <param name="dropLast">Whether an incomplete last batch is left out.</param>
    /// <param name="prefetch">Batches that a thread reads ahead; 0 reads in the loop's thread.</param>
    /// <param name="pinMemory">Whether batches read ahead go through page-locked memory.</param>
    /// <returns>The loader.</returns>
    public static BatchLoader<TBatch> FromSamples<TSample, TBatch>(
        IEnumerable<TSample> samples, int batchSize, Func<IReadOnlyList<TSample>, TBatch> collate, bool dropLast = false,
        int prefetch = 0, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentNullException.ThrowIfNull(collate);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        ArgumentOutOfRangeException.ThrowIfNegative(prefetch);
        return new(new SampleStreamSource<TSample, TBatch>(samples, batchSize, dropLast, collate, prefetch, pinMemory));
    }

    /// <summary>Batches that are ready made.</summary>
    /// <remarks>
    /// A batch whose tensors the sequence creates as it is asked for it belongs to the loader, which frees it; tensors that existed
    /// before stay the sequence's. The loader reads one batch ahead, so that it knows which one is the last.
    /// </remarks>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="batches">Enumerated once per epoch; the same sequence on every process that reads it.</param>
    /// <param name="prefetch">Batches that a thread reads ahead; 0 reads in the loop's thread.</param>
    /// <param name="pinMemory">Whether batches read ahead go through page-locked memory.</param>
    /// <returns>The loader.</returns>
    public static BatchLoader<TBatch> FromBatches<TBatch>(IEnumerable<TBatch> batches, int prefetch = 0, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return FromStream(
            () => StreamReaders.Read(batches), () => batches.TryGetNonEnumeratedCount(out var count) ? count : null, prefetch, pinMemory);
    }

    /// <summary>Batches that a function starts to yield anew for every epoch.</summary>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="batches">Called once per epoch; the same sequence on every process that reads it.</param>
    /// <param name="prefetch">Batches that a thread reads ahead; 0 reads in the loop's thread.</param>
    /// <param name="pinMemory">Whether batches read ahead go through page-locked memory.</param>
    /// <returns>The loader.</returns>
    public static BatchLoader<TBatch> FromGenerator<TBatch>(Func<IEnumerable<TBatch>> batches, int prefetch = 0, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return FromStream(() => StreamReaders.Read(batches()), () => null, prefetch, pinMemory);
    }

    /// <summary>Batches of an asynchronous sequence. They belong to the loader, which frees them.</summary>
    /// <typeparam name="TBatch">What the loop sees.</typeparam>
    /// <param name="batches">Enumerated once per epoch; the same sequence on every process that reads it.</param>
    /// <param name="prefetch">Batches that a thread reads ahead; 0 reads when the loop asks.</param>
    /// <param name="pinMemory">Whether batches read ahead go through page-locked memory.</param>
    /// <returns>The loader. <c>foreach</c> blocks while it waits, <c>await foreach</c> does not.</returns>
    public static BatchLoader<TBatch> FromAsync<TBatch>(IAsyncEnumerable<TBatch> batches, int prefetch = 0, bool pinMemory = false)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return FromStream(() => StreamReaders.Read(batches, CancellationToken.None), () => null, prefetch, pinMemory);
    }

    private static BatchLoader<TBatch> FromStream<TBatch>(
        Func<IAsyncEnumerable<TBatch>> open, Func<long?> count, int prefetch, bool pinMemory)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(prefetch);
        return new(new StreamSource<TBatch>(prefetch > 0 ? () => StreamReaders.Ahead(open(), prefetch, pinMemory) : open, count));
    }

    private static BatchLoader<TBatch> FromIndexed<TBatch>(
        long count, int batchSize, bool shuffle, long? seed, bool dropLast, Func<long[], TBatch> load, int workers, int prefetch, bool pinMemory)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        return new(new IndexedSource<TBatch>(
            count, batchSize, shuffle, seed, dropLast, load, new ReadingOptions(workers, prefetch, pinMemory)));
    }

    private static Tensor Select(Tensor rows, long[] indices)
    {
        using var index = tensor(indices, ScalarType.Int64, rows.device);
        return rows.index_select(0, index);
    }
}
