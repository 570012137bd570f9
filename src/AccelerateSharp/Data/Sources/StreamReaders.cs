using System.Runtime.CompilerServices;
using System.Threading.Channels;
using AccelerateSharp.Data.Trees;

namespace AccelerateSharp.Data.Sources;

/// <summary>Streams of batches, under handles that the loader owns.</summary>
internal static class StreamReaders
{
    /// <summary>Reads a sequence on the caller's thread.</summary>
    public static async IAsyncEnumerable<TBatch> Read<TBatch>(IEnumerable<TBatch> source)
    {
        var tracker = new CreationTracker<TBatch>();
        using var enumerator = source.GetEnumerator();
        try
        {
            var previous = default(TBatch);
            while (tracker.Read(enumerator))
            {
                if (previous is not null) tracker.Release(previous, enumerator.Current);
                previous = enumerator.Current;
                yield return Own(previous);
            }
        }
        finally
        {
            tracker.ReleaseAll();
        }
        await ValueTask.CompletedTask.ConfigureAwait(false);
    }

    /// <summary>Reads an asynchronous sequence, whose batches belong to the loader.</summary>
    public static async IAsyncEnumerable<TBatch> Read<TBatch>(
        IAsyncEnumerable<TBatch> source, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var batch in source.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            TensorTree.ForEach(batch, tensor => tensor.DetachFromDisposeScope());
            yield return batch;
        }
    }

    /// <summary>Lets a thread read up to <paramref name="capacity"/> batches ahead, and pin them if asked to.</summary>
    public static async IAsyncEnumerable<TBatch> Ahead<TBatch>(
        IAsyncEnumerable<TBatch> source, int capacity, bool pinMemory, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var channel = Channel.CreateBounded<TBatch>(new BoundedChannelOptions(capacity) { SingleReader = true, SingleWriter = true });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var thread = new Thread(() => Fill(source, channel.Writer, pinMemory, stop.Token)) { IsBackground = true, Name = "Data loader reader" };
        thread.Start();
        try
        {
            while (await channel.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
                while (channel.Reader.TryRead(out var batch)) yield return batch;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            thread.Join();
            while (channel.Reader.TryRead(out var unused)) Ownership.Dispose(unused);
        }
    }

    private static void Fill<TBatch>(IAsyncEnumerable<TBatch> source, ChannelWriter<TBatch> writer, bool pinMemory, CancellationToken stop)
    {
        try
        {
            FillAsync(source, writer, pinMemory, stop).GetAwaiter().GetResult();
            writer.Complete();
        }
#pragma warning disable CA1031 // The consumer gets it, whatever it is.
        catch (Exception error)
#pragma warning restore CA1031
        {
            writer.Complete(error);
        }
    }

    private static async Task FillAsync<TBatch>(
        IAsyncEnumerable<TBatch> source, ChannelWriter<TBatch> writer, bool pinMemory, CancellationToken stop)
    {
        await foreach (var batch in source.WithCancellation(stop).ConfigureAwait(false))
        {
            var owned = pinMemory ? Ownership.Pin(batch) : batch;
            try
            {
                // Blocks this thread, which is ours: reading goes on where it began.
                writer.WriteAsync(owned, stop).AsTask().GetAwaiter().GetResult();
            }
            catch (OperationCanceledException)
            {
                Ownership.Dispose(owned);
                throw;
            }
        }
    }

    private static TBatch Own<TBatch>(TBatch batch) => TensorTree.Map(batch, tensor => tensor.alias().DetachFromDisposeScope());
}
