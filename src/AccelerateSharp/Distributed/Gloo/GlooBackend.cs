using TorchSharp;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>Collectives of CPU tensors over Gloo's TCP transport: one queue for each group, served by one thread, in order.</summary>
/// <remarks>
/// A blocking operation that finds the queue empty runs on the caller's own thread: two thread switches cost more than a small all-reduce.
/// Point-to-point operations stay out of the queue, since two ranks that first send to each other and then receive must not wait forever.
/// </remarks>
internal sealed class GlooBackend : CollectiveBackend
{
    private static readonly TimeSpan _leavePatience = TimeSpan.FromSeconds(1);
    private readonly GroupContext _group;
    private readonly GlooContext _context;
    private readonly GlooCollectives _collectives;
    private readonly Lock _lifetime = new();
    private readonly object _gate = new();
    private readonly Queue<(CollectiveCall Call, GlooWork Work)> _queue = new();
    private Thread? _thread;
    private bool _busy;
    private bool _closing;
    private int _transfers;

    public GlooBackend(GroupContext group)
    {
        _group = group;
        _context = GlooContext.Connect(group, GlooHeader.StageBytes(group.Size));
        _collectives = new GlooCollectives(group, _context);
        group.Health.OnFailure(Abort);
    }

    public override string Name => "gloo";

    public override DeviceType DeviceType => DeviceType.CPU;

    public override Work Submit(CollectiveCall call)
    {
        var work = new GlooWork();
        if (call.IsPointToPoint)
        {
            var transfer = Post(call);
            WaiterThreads.Start(() => work.Complete(call, Finish(call, transfer), _group.Health));
            return new Work(work);
        }
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing, typeof(ProcessGroup));
            _queue.Enqueue((call, work));
            if (_thread is null)
            {
                _thread = new Thread(Serve) { IsBackground = true, Name = $"gloo {_group.Name}" };
                _thread.Start();
            }
            Monitor.PulseAll(_gate);
        }
        return new Work(work);
    }

    public override void Run(CollectiveCall call)
    {
        if (call.IsPointToPoint)
        {
            if (Finish(call, Post(call)) is { } error) throw _group.Health.As(call, error);
            return;
        }
        if (!TryTakeTurn())
        {
            Submit(call).Wait();
            return;
        }
        DistributedException? failure;
        try
        {
            failure = Execute(call);
        }
        finally
        {
            lock (_gate)
            {
                _busy = false;
                Monitor.PulseAll(_gate);
            }
        }
        if (failure is not null) throw _group.Health.As(call, failure);
    }

    /// <summary>A blocking call runs on its own thread where nothing is queued before it.</summary>
    private bool TryTakeTurn()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing, typeof(ProcessGroup));
            if (_busy || _queue.Count > 0) return false;
            return _busy = true;
        }
    }

    public override void Abort() => _context.Abort();

    public override CollectiveBackend CreateSubGroup(GroupContext context) => new GlooBackend(context);

    public override void Dispose()
    {
        lock (_lifetime)
        {
            Thread? thread;
            lock (_gate)
            {
                if (_closing) return;
                _closing = true;
                thread = _thread;
                // What still waits for its peers would keep this rank here: leaving ends it.
                if (_busy || _queue.Count > 0 || _transfers > 0) _context.Abort();
                Monitor.PulseAll(_gate);
            }
            thread?.Join();
            lock (_gate)
                while (_busy || _transfers > 0) Monitor.Wait(_gate);
            if (_group.Health.Failure is null) _collectives.Leave(_leavePatience);
            _context.Dispose();
        }
    }

    private void Serve()
    {
        while (true)
        {
            CollectiveCall call;
            GlooWork work;
            lock (_gate)
            {
                while (_busy || (_queue.Count == 0 && !_closing)) Monitor.Wait(_gate);
                if (_queue.Count == 0) return;
                (call, work) = _queue.Dequeue();
                _busy = true;
            }
            var failure = Execute(call);
            lock (_gate)
            {
                _busy = false;
                Monitor.PulseAll(_gate);
            }
            work.Complete(call, failure, _group.Health);
        }
    }

    private DistributedException? Execute(CollectiveCall call) => Guard(call, () => _collectives.Run(call));

    private GlooTransfer? Post(CollectiveCall call)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing, typeof(ProcessGroup));
            _transfers++;
        }
        GlooTransfer? transfer = null;
        _ = Guard(call, () => transfer = GlooTransfer.Post(_group, _context, call), release: false);
        return transfer;
    }

    private DistributedException? Finish(CollectiveCall call, GlooTransfer? transfer)
    {
        try
        {
            return Guard(call, () =>
            {
                if (transfer is null) throw new GlooException(GlooNative.ASG_ABORTED, "the transfer was not started", -1);
                transfer.Finish();
            });
        }
        finally
        {
            lock (_gate)
            {
                _transfers--;
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>Runs a step of an operation; an error breaks the group and comes back as the group's first cause.</summary>
    private DistributedException? Guard(CollectiveCall call, Action step, bool release = true)
    {
        var health = _group.Health;
        try
        {
            if (health.Failure is { } earlier) return earlier;
            health.Begin(call);
            step();
            return null;
        }
        catch (GlooException e)
        {
            return e.Status switch
            {
                GlooNative.ASG_TIMEOUT => health.Fail(Messages.Timeout(health, call, e.Peer < 0 ? [] : [_group.Ranks[e.Peer]])),
                GlooNative.ASG_PEER_LOST => health.Resolve(Messages.ConnectionLost(health, call, e.Peer, e.Message)),
                GlooNative.ASG_ABORTED => health.Failure ?? new DistributedException($"{Messages.Where(health, call)}: the group was disposed while the operation was pending."),
                _ => health.Fail(new DistributedException($"{Messages.Where(health, call)}: {e.Message}", e)),
            };
        }
        catch (DistributedException e)
        {
            return health.Fail(e);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return health.Fail(new DistributedException($"{Messages.Where(health, call)}: {e.Message}", e));
        }
        finally
        {
            // Only now: whoever finds the cause while this rank looks for it names this operation.
            health.End(call);
            if (release) call.Release();
        }
    }
}
