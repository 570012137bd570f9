using System.Collections.Concurrent;

namespace AccelerateSharp.Data.Sources;

/// <summary>Threads that load batches ahead of the loop that consumes them.</summary>
/// <remarks>
/// Threads of our own rather than the shared pool: user code that waits for a disk or a network must not starve the rest of the
/// program. How far ahead they run is up to the caller, by what it enqueues.
/// </remarks>
internal sealed class WorkerPool<TBatch> : IDisposable
{
    private readonly BlockingCollection<(long[] Indices, TaskCompletionSource<TBatch> Result)> _work = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread[] _threads;
    private readonly Func<long[], TBatch> _load;

    public WorkerPool(int workers, Func<long[], TBatch> load)
    {
        _load = load;
        _threads = [.. Enumerable.Range(0, workers).Select(i => new Thread(Run) { IsBackground = true, Name = $"Data loader worker {i}" })];
        foreach (var thread in _threads) thread.Start();
    }

    public Task<TBatch> Enqueue(long[] indices)
    {
        var result = new TaskCompletionSource<TBatch>(TaskCreationOptions.RunContinuationsAsynchronously);
        _work.Add((indices, result));
        return result.Task;
    }

    /// <summary>Lets every worker finish the batch it is at, and ends it. What was not started is cancelled.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        _work.CompleteAdding();
        foreach (var thread in _threads) thread.Join();
        _work.Dispose();
        _stop.Dispose();
    }

    private void Run()
    {
        foreach (var (indices, result) in _work.GetConsumingEnumerable())
        {
            if (_stop.IsCancellationRequested)
            {
                result.SetCanceled(_stop.Token);
                continue;
            }
            try
            {
                result.SetResult(_load(indices));
            }
#pragma warning disable CA1031 // The consumer gets it, whatever it is.
            catch (Exception error)
#pragma warning restore CA1031
            {
                result.SetException(error);
            }
        }
    }
}
