using System.Collections;
using AccelerateSharp.Data.Sources;
using AccelerateSharp.Data.Trees;
using TorchSharp;

namespace AccelerateSharp.Data;

/// <summary>One loop over a loader: places batches, keeps the books, and frees what a batch leaves behind.</summary>
internal sealed class LoaderEnumerator<TBatch>(
    Func<IBatchPass<TBatch>> open, LoaderBinding binding, CancellationToken cancellationToken = default)
    : IEnumerator<TBatch>, IAsyncEnumerator<TBatch>
{
    private readonly ActiveLoader _active = new();
    private readonly bool _frees = binding.Configuration.DisposeScopePerBatch;
    private IBatchPass<TBatch>? _pass;
    private DisposeScope? _scope;
    private TBatch? _current;
    private bool _ended;

    public TBatch Current => _current!;

    object? IEnumerator.Current => _current;

    public bool MoveNext()
    {
        EndBatch();
        if (!Wait(FetchAsync())) return false;
        // On the loop's own thread, wherever the fetch went on.
        OpenScope();
        return true;
    }

    public ValueTask<bool> MoveNextAsync()
    {
        EndBatch();
        return FetchAsync();
    }

    public void Reset() => throw new NotSupportedException("A loader is started again by a new loop over it.");

    public void Dispose()
    {
        EndBatch();
        var ending = EndAsync();
        if (!ending.IsCompletedSuccessfully) ending.AsTask().GetAwaiter().GetResult();
    }

    public ValueTask DisposeAsync()
    {
        EndBatch();
        return EndAsync();
    }

    private static bool Wait(ValueTask<bool> moving) =>
        moving.IsCompleted ? moving.GetAwaiter().GetResult() : moving.AsTask().GetAwaiter().GetResult();

    private async ValueTask<bool> FetchAsync()
    {
        if (_ended) return false;
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (_pass is null)
            {
                _pass = open();
                binding.State.Enter(_active);
            }
            if (!await _pass.MoveNextAsync(cancellationToken).ConfigureAwait(false))
            {
                await EndAsync().ConfigureAwait(false);
                return false;
            }
        }
        catch
        {
            await EndAsync().ConfigureAwait(false);
            throw;
        }
        var batch = _pass.Current;
        if (binding.DevicePlacement) batch = Ownership.Move(batch, binding.Context.Device, binding.Configuration.NonBlocking);
        _active.EndOfDataLoader = _pass.IsLast;
        _active.Remainder = _pass.Remainder;
        _current = batch;
        return true;
    }

    private void OpenScope()
    {
        if (!_frees) return;
        _scope = torch.NewDisposeScope();
        TensorTree.ForEach(_current, _scope.Attach);
    }

    private void EndBatch()
    {
        if (_scope is not null) _scope.Dispose();
        // A scope belongs to a thread, and an asynchronous loop may go on on another one: only the batch is freed there.
        else if (_frees && _current is not null) Ownership.Dispose(_current);
        _scope = null;
        _current = default;
    }

    private async ValueTask EndAsync()
    {
        if (_ended) return;
        _ended = true;
        binding.State.Leave(_active);
        if (_pass is not null) await _pass.DisposeAsync().ConfigureAwait(false);
    }
}
