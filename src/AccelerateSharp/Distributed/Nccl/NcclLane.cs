using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>One communicator with one stream of its own: what is submitted here runs in that order and waits for nothing else.</summary>
/// <remarks>
/// The group's collectives have one, connected when the group is made. Each direction between two ranks that send to each other has another
/// (<see cref="NcclPair"/>), connected in the background at its first use: ranks that all send before they receive wait for each other neither
/// on the host, while connecting, nor on the GPU.
/// </remarks>
internal sealed class NcclLane
{
    private static readonly TimeSpan _leavePatience = TimeSpan.FromSeconds(5);
    private readonly Lock _gate = new();
    private readonly Queue<Delayed> _delayed = new();
    private readonly GroupContext _group;
    private readonly GroupContext _members;
    private readonly CudaContext _context;
    private readonly CancellationToken _ended;
    private readonly CudaStream _stream;
    private readonly CudaEventPool _events;
    private readonly NcclWatchdog _watchdog;
    private NcclCommunicator? _communicator;
    private NcclLaunch? _launch;
    private bool _isReady;
    private readonly Action? _connect;

    /// <param name="group">Whose operations these are.</param>
    /// <param name="members">Who takes part: the group itself, or two of its ranks under a name of their own.</param>
    /// <param name="context">This rank's GPU.</param>
    /// <param name="journal">Notes the collectives.</param>
    /// <param name="ended">The group has failed, or this rank leaves it.</param>
    /// <param name="connect">Asks for the connection at the first use; null where <see cref="Connect"/> comes before it.</param>
    internal NcclLane(
        GroupContext group, GroupContext members, CudaContext context, NcclJournal journal, CancellationToken ended, Action? connect = null)
    {
        _connect = connect;
        _group = group;
        _members = members;
        _context = context;
        _ended = ended;
        _stream = CudaStream.CreateNonBlocking(context);
        _events = new CudaEventPool(context);
        _watchdog = new NcclWatchdog(group, journal, AsyncError);
    }

    internal bool IsBusy => _watchdog.IsBusy;

    /// <summary>Meets the other members; returns when they are connected.</summary>
    /// <exception cref="DistributedException">They did not come together.</exception>
    internal void Connect()
    {
        _communicator = NcclCommunicator.Create(_members, _context, _ended);
        _launch = new NcclLaunch(_communicator.Handle, _stream, _members.Rank, _members.Size);
    }

    /// <summary>Queues an operation behind what the caller's current stream holds now.</summary>
    internal Work Submit(CollectiveCall call, Tensor token)
    {
        lock (_gate)
        {
            _watchdog.Sweep();
            var device = _context.DeviceIndex;
            var work = new NcclWork(call, _group.Health, () => TorchCuda.CurrentStream(device), Recycle);
            _watchdog.Add(work);
            try
            {
                var caller = TorchCuda.CurrentStream(device);
                var before = _events.Rent();
                before.Record(caller);
                if (!_isReady)
                {
                    _delayed.Enqueue(new Delayed(work, before, caller, token));
                    _connect?.Invoke();
                }
                else
                {
                    Launch(work, before, caller, token);
                }

                return new Work(work);
            }
            catch (Exception e)
            {
                throw Failed(work, e).Copy();
            }
        }
    }

    /// <summary>One look of the watchdog's at what is pending here.</summary>
    internal void Look() => _watchdog.Look();

    /// <summary>Frees the communicator; aborts it first where the group is broken. Nothing is submitted any more.</summary>
    internal void End(bool broken)
    {
        if (!broken)
        {
            _communicator?.Destroy(_context);
            return;
        }

        // A launch that blocks on a dead peer only returns once the communicator is aborted under it; any other is let through first.
        var quiet = _gate.TryEnter(TimeSpan.FromSeconds(1));
        try
        {
            using var scope = _context.Enter();
            _communicator?.Abort();
            quiet = quiet || _gate.TryEnter(_leavePatience);
            if (quiet && SpinWait.SpinUntil(() => _stream.IsIdle, _leavePatience)) _watchdog.AbandonAll();
        }
        catch (CudaException)
        {
            // The GPU itself failed and the group's failure says so; its memory is as lost as the process.
        }
        finally
        {
            if (quiet) _gate.Exit();
        }
    }

    /// <summary>Frees stream and events of a lane that has ended.</summary>
    internal void Free()
    {
        _events.Dispose();
        _stream.Dispose();
    }

    private void Launch(NcclWork work, CudaEvent before, nint caller, Tensor token)
    {
        using var scope = _context.Enter();
        _stream.WaitFor(before);
        // A wait keeps what it was told: the event may be recorded again.
        _events.Return(before);
        if (NcclLaunch.NeedsLibtorch(work.Call))
        {
            using var libtorch = TorchCuda.Use(_stream.Raw, _context.DeviceIndex);
            Run(work.Call, token);
            work.Call.CopyBack();
        }
        else
        {
            Run(work.Call, token);
        }

        var end = _events.Rent();
        end.Record(_stream.Raw);
        work.Launched(end, caller);
    }

    private void Run(CollectiveCall call, Tensor token)
    {
        if (call.IsPointToPoint) _launch!.Transfer(call, 1 - _members.Rank);
        else _launch!.Run(call, token);
    }

    /// <summary>Sends the first number along this lane and waits until it has arrived.</summary>
    internal void Greet(Tensor token)
    {
        using var scope = _context.Enter();
        _launch!.Greet(token);
        _stream.Synchronize();
    }

    /// <summary>Starts what was submitted before the lane was connected.</summary>
    internal void CatchUp()
    {
        lock (_gate)
        {
            while (_delayed.TryPeek(out var delayed))
            {
                try
                {
                    _group.Health.ThrowIfFailed(delayed.Work.Call);
                    Launch(delayed.Work, delayed.Before, delayed.Caller, delayed.Token);
                }
                catch (Exception e)
                {
                    Failed(delayed.Work, e);
                }

                _delayed.Dequeue();
            }

            _isReady = true;
        }
    }

    /// <summary>The lane could not be connected: what was submitted fails with that cause.</summary>
    internal void Refuse(Exception cause)
    {
        lock (_gate)
        {
            while (_delayed.TryDequeue(out var delayed)) Failed(delayed.Work, cause);
        }
    }

    /// <summary>An operation that could not be started breaks the group: the others may have started it.</summary>
    private DistributedException Failed(NcclWork work, Exception error)
    {
        work.Abandon();
        if (error is DistributedException known) return _group.Health.Fail(known);
        var failure = new DistributedException($"{Messages.Where(_group.Health, work.Call)}: {error.Message}", error)
        {
            Rank = _group.GlobalRank,
            Collective = Messages.Name(work.Call.Kind),
            SequenceNumber = work.Call.SequenceNumber,
            Shapes = work.Call.Describe(),
        };
        // Where a dead peer made NCCL give up, the death is the cause, and word of it is on its way.
        return error is NcclException ? _group.Health.Resolve(failure) : _group.Health.Fail(failure);
    }

    private void Recycle(IStreamEvent @event)
    {
        if (@event is CudaEvent reached) _events.Return(reached);
    }

    private string? AsyncError()
    {
        if (_communicator is not { } communicator) return null;
        var result = communicator.AsyncError();
        return result == NcclResult.Success ? null : NcclLibrary.Describe(result, communicator.Handle);
    }

    private sealed record Delayed(NcclWork Work, CudaEvent Before, nint Caller, Tensor Token);
}
