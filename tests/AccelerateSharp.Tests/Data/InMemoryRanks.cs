using AccelerateSharp.Data;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Data;

/// <summary>Ranks as threads of one process, with collectives that end in an error when a rank stays away.</summary>
internal sealed class InMemoryRanks(int size) : IDisposable
{
    private readonly Barrier _barrier = new(size);
    private readonly object?[] _slots = new object?[size];
    private volatile bool _broken;

    public static TResult[] Run<TResult>(int size, Func<IDataParallelContext, TResult> body)
    {
        using var ranks = new InMemoryRanks(size);
        var results = new TResult[size];
        var errors = new Exception?[size];
        var threads = Enumerable.Range(0, size).Select(rank => new Thread(() =>
        {
            try
            {
                results[rank] = body(new Rank(ranks, rank));
            }
            catch (Exception error)
            {
                errors[rank] = error;
            }
        })).ToArray();
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        if (Array.FindIndex(errors, error => error is not null) is >= 0 and var first)
            throw new AggregateException($"Rank {first} failed.", errors.Where(error => error is not null)!);
        return results;
    }

    public void Dispose() => _barrier.Dispose();

    private void Meet()
    {
        if (_broken || !_barrier.SignalAndWait(TimeSpan.FromSeconds(20)))
        {
            _broken = true;
            throw new TimeoutException("A rank did not join the collective.");
        }
    }

    private sealed class Rank(InMemoryRanks ranks, int rank) : IDataParallelContext
    {
        int IDataParallelContext.Rank => rank;

        public int Size => ranks._slots.Length;

        public Device Device => CPU;

        public T BroadcastObject<T>(T value)
        {
            if (rank == 0) ranks._slots[0] = value;
            ranks.Meet();
            var result = (T)ranks._slots[0]!;
            ranks.Meet();
            return result;
        }

        public void Broadcast(Tensor tensor)
        {
            if (rank == 0) ranks._slots[0] = tensor;
            ranks.Meet();
            if (rank != 0) tensor.copy_((Tensor)ranks._slots[0]!);
            ranks.Meet();
        }

        public IReadOnlyList<T> AllGatherObject<T>(T value)
        {
            ranks._slots[rank] = value;
            ranks.Meet();
            var result = ranks._slots.Cast<T>().ToArray();
            ranks.Meet();
            return result;
        }
    }
}

/// <summary>0, 1, … n−1 as TorchSharp's kind of dataset.</summary>
internal sealed class Numbers(long count) : utils.data.Dataset<Tensor>
{
    private int _reads;

    public int Reads => _reads;

    public long? Broken { get; init; }

    public bool IsDisposed { get; private set; }

    public override long Count => count;

    public override Tensor GetTensor(long index)
    {
        Interlocked.Increment(ref _reads);
        return index == Broken ? throw new InvalidOperationException("unreadable") : tensor(index);
    }

    protected override void Dispose(bool disposing) => IsDisposed = true;
}
