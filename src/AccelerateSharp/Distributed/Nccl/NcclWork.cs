using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>One operation on the communication stream, from its start until the event behind it is reached.</summary>
/// <remarks>
/// It keeps the operation's tensors alive: libtorch's allocator does not know that our stream uses them and would hand out their memory
/// again as soon as the caller lets go. They are given back when the event is reached (seen at the next call, by whoever waits, or by the
/// watchdog), or already when the stream that made them has been told to wait, since whatever is put into that memory next is
/// queued on that stream, behind the operation.
/// </remarks>
internal sealed class NcclWork : WorkCompletion
{
    private readonly Lock _gate = new();
    private readonly GroupHealth _health;
    private readonly Func<nint> _currentStream;
    private readonly Action<IStreamEvent>? _recycle;
    private IStreamEvent? _end;
    private nint _startedOn;
    private bool _finished;
    private bool _released;

    /// <param name="call">The operation; released by this object.</param>
    /// <param name="health">Where a failure of the group shows.</param>
    /// <param name="currentStream">The stream on which the calling thread's operators run.</param>
    /// <param name="recycle">Takes the event back when it is reached.</param>
    internal NcclWork(CollectiveCall call, GroupHealth health, Func<nint> currentStream, Action<IStreamEvent>? recycle = null)
    {
        Call = call;
        _health = health;
        _currentStream = currentStream;
        _recycle = recycle;
        StartedAt = Environment.TickCount64;
    }

    internal CollectiveCall Call { get; }

    /// <summary>When it was submitted, in milliseconds of <see cref="Environment.TickCount64"/>.</summary>
    internal long StartedAt { get; init; }

    public override bool IsCompleted => TryFinish() || _health.Failure is not null;

    /// <summary>The operation is queued, and <paramref name="end"/> behind it.</summary>
    internal void Launched(IStreamEvent end, nint startedOn)
    {
        lock (_gate)
        {
            _end = end;
            _startedOn = startedOn;
        }
    }

    /// <summary>True once the operation has ended well. An event that is reached after a failure says nothing: an abort ends kernels too.</summary>
    internal bool TryFinish()
    {
        lock (_gate)
        {
            if (_finished) return true;
            if (_end is null || !_end.IsReached || _health.Failure is not null) return false;
            _finished = true;
            Release();
            _recycle?.Invoke(_end);
            _end = null;
            return true;
        }
    }

    /// <summary>Lets go of the tensors of an operation that will never end well, once nothing uses them.</summary>
    internal void Abandon()
    {
        lock (_gate)
        {
            if (!_finished) Release();
        }
    }

    public override void Wait()
    {
        if (!TryFinish()) WaitOnStream();
        // A barrier is for the host: whoever passed it knows that the others came.
        if (Call.Kind == CollectiveKind.Barrier) Synchronize();
    }

    public override void Synchronize()
    {
        // Not cuEventSynchronize: a peer that died would hold it until the abort, and the failure is known before that.
        var spin = new SpinWait();
        var start = Environment.TickCount64;
        while (!TryFinish())
        {
            _health.ThrowIfFailed(Call);
            spin.SpinOnce(sleep1Threshold: Environment.TickCount64 - start < 2 ? -1 : 20);
        }
    }

    private void WaitOnStream()
    {
        // A first transfer between two ranks is launched when they have connected; there is no event to wait for until then.
        if (Volatile.Read(ref _end) is null) SpinWait.SpinUntil(() => Volatile.Read(ref _end) is not null || IsCompleted);
        lock (_gate)
        {
            if (_finished) return;
            _health.ThrowIfFailed(Call);
            var stream = _currentStream();
            _end!.MakeWait(stream);
            if (stream == _startedOn) Release();
        }
    }

    private void Release()
    {
        if (_released) return;
        _released = true;
        Call.Release();
    }
}
