using System.Collections;
using AccelerateSharp.Data.Sampling;
using TorchSharp;

namespace AccelerateSharp.Data.TorchLoaders;

/// <summary>This rank's indices of an epoch, in windows as long as the loader's <c>batch_size</c>.</summary>
/// <remarks>
/// The loader pulls <c>batch_size</c> indices for each batch and takes those it gets. <c>batch_size</c> is the global one, so a
/// window holds this rank's indices and then nothing. Where a window begins is also where a batch begins for the bookkeeping and
/// for the dispose scope around the loop's body.
/// </remarks>
internal sealed class PreparedSampler(
    LoaderBinding binding, int window, bool dropsLast, EpochCounter epochs, long skip, Func<IBatchSampler> batches)
    : IEnumerable<long>
{
    public LoaderBinding Binding => binding;

    public EpochCounter Epochs => epochs;

    private int Window => window;

    private bool DropsLast => dropsLast;

    /// <summary>Set where batches are sent by rank 0 rather than read here.</summary>
    public ILoaderExchange? Exchange { get; init; }

    public PreparedSampler Skipping(long more) => new(binding, window, dropsLast, epochs, skip + more, batches) { Exchange = Exchange };

    public IEnumerator<long> GetEnumerator() => new Indices(this);

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private IEnumerator<IndexBatch> Begin()
    {
        var context = Exchange is null ? binding.Context : SingleProcessContext.Cpu;
        return new SkipBatchSampler(batches(), skip).Begin(epochs.Take(), context).GetEnumerator();
    }

    private sealed class Indices(PreparedSampler sampler) : IEnumerator<long>
    {
        private readonly ActiveLoader _active = new();
        private readonly GradientState _state = sampler.Binding.State;
        private IEnumerator<IndexBatch>? _batches;
        private IndexBatch? _next;
        private DisposeScope? _scope;
        private long[] _window = [];
        private long _pulled;
        private bool _ended;

        public long Current { get; private set; }

        object IEnumerator.Current => Current;

        public bool MoveNext()
        {
            var position = (int)(_pulled++ % sampler.Window);
            if (position == 0) BeginBatch();
            if (position >= _window.Length) return false;
            Current = _window[position];
            return true;
        }

        public void Reset() => throw new NotSupportedException();

        public void Dispose()
        {
            EndBatch();
            if (!_ended) End();
        }

        private void BeginBatch()
        {
            EndBatch();
            if (_ended) return;
            try
            {
                if (_batches is null) Start();
                if (sampler.Exchange is { IsReceiver: true } exchange) Receive(exchange);
                else Take();
            }
            catch (Exception error)
            {
                sampler.Exchange?.Fail(error);
                End();
                throw;
            }
            if (_ended || !sampler.Binding.Configuration.DisposeScopePerBatch) return;
            _scope = torch.NewDisposeScope();
        }

        private void Start()
        {
            sampler.Exchange?.Start();
            _batches = sampler.Exchange is { IsReceiver: true } ? Enumerable.Empty<IndexBatch>().GetEnumerator() : sampler.Begin();
            _state.Enter(_active);
            Advance();
        }

        private void Take()
        {
            if (_next is not { } batch)
            {
                sampler.Exchange?.AnnounceEnd();
                End();
                return;
            }
            Advance();
            _window = batch.Indices;
            _active.EndOfDataLoader = _next is null;
            _active.Remainder = sampler.DropsLast ? -1 : batch.Remainder;
            sampler.Exchange?.Announce(_active);
        }

        private void Receive(ILoaderExchange exchange)
        {
            if (!exchange.Receive(_active))
            {
                End();
                return;
            }
            _window = [0]; // Something has to be pulled for the loader to ask for a batch; nothing is read for it.
        }

        private void Advance() => _next = _batches!.MoveNext() ? _batches.Current : null;

        private void EndBatch()
        {
            _scope?.Dispose();
            _scope = null;
            _window = [];
        }

        private void End()
        {
            _ended = true;
            _batches?.Dispose();
            _state.Leave(_active);
            sampler.Exchange?.End();
        }
    }
}
