using AccelerateSharp.Data.Sources;
using AccelerateSharp.Data.Trees;
using TorchSharp;

namespace AccelerateSharp.Data.TorchLoaders;

/// <summary>The part of a dispatching loader that its sampler talks to.</summary>
internal interface ILoaderExchange
{
    /// <summary>Whether this rank is sent its batches.</summary>
    bool IsReceiver { get; }

    /// <summary>A new epoch.</summary>
    void Start();

    /// <summary>Rank 0: the batch that is about to be read, whose bookkeeping is in <paramref name="active"/>.</summary>
    void Announce(ActiveLoader active);

    /// <summary>Other ranks: waits for a batch and fills in its bookkeeping; false when there is none for this rank.</summary>
    bool Receive(ActiveLoader active);

    /// <summary>Rank 0: there is nothing more to read.</summary>
    void AnnounceEnd();

    /// <summary>Rank 0: reading failed.</summary>
    void Fail(Exception error);

    /// <summary>The epoch is over, or was broken off.</summary>
    void End();
}

/// <summary>Makes TorchSharp's loader read on rank 0 only: its collate function sends there, and hands out what came elsewhere.</summary>
internal sealed class LoaderExchange<T, S>(LoaderBinding binding, Func<IEnumerable<T>, torch.Device, S> collate) : ILoaderExchange
{
    private BatchExchange<S> _exchange = new(binding);
    private ActiveLoader? _announced;
    private S? _first;
    private bool _hasFirst;

    public bool IsReceiver => binding.Context.Rank != 0;

    public void Start()
    {
        _exchange = new BatchExchange<S>(binding);
        _announced = null;
    }

    public void Announce(ActiveLoader active) => _announced = active;

    public bool Receive(ActiveLoader active)
    {
        if (_exchange.IsLast || !_exchange.Receive() || _exchange.Share is null) return false;
        active.EndOfDataLoader = _exchange.IsLast;
        active.Remainder = _exchange.Remainder;
        return true;
    }

    public S Collate(IEnumerable<T> samples, torch.Device device)
    {
        if (!IsReceiver) Send(Ownership.Capture(() => collate(samples, torch.CPU)));
        using var scope = torch.NewDisposeScope();
        // Into the loader's scope, which frees the batch when its time has come.
        TensorTree.ForEach(_exchange.Share, tensor =>
        {
            scope.Attach(tensor);
            scope.MoveToOuter(tensor);
        });
        return _exchange.Share!;
    }

    public void AnnounceEnd()
    {
        if (!IsReceiver && !_exchange.IsLast) _exchange.End();
    }

    public void Fail(Exception error)
    {
        if (!IsReceiver && !_exchange.IsLast) _exchange.Fail(error);
    }

    public void End()
    {
        if (_hasFirst) Ownership.Dispose(_first);
        _hasFirst = false;
        // Announced and never sent: the others are waiting for it.
        if (_announced is not null) Fail(new DataLoadingException("a sample of the next batch could not be read, see the error of rank 0"));
        _announced = null;
    }

    private void Send(S step)
    {
        var size = binding.Context.Size;
        var rows = (int)GlobalSteps.Rows(step);
        if (!_hasFirst)
        {
            _first = GlobalSteps.Copy(step, 0, Math.Min(rows, size));
            _hasFirst = true;
        }
        if (rows % size != 0 && binding.EvenBatches) step = GlobalSteps.Fill(step, _first!, size - rows % size);
        var announced = _announced!;
        _announced = null;
        _exchange.Send(step, announced.EndOfDataLoader, announced.Remainder);
    }
}
