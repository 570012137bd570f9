using System.Collections.Concurrent;
using System.Globalization;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Collectives between GPUs. Everything is queued on streams of the group's own; the host waits for nothing.</summary>
/// <remarks>
/// An operation starts behind what the caller's current stream holds at that moment, and <see cref="Work.Wait"/> puts what the
/// current stream gets next behind the operation: compute and communication overlap in between. NCCL knows no tags: transfers from one rank
/// to another match in the order of the calls.
/// </remarks>
internal sealed class NcclBackend : CollectiveBackend
{
    private static readonly TimeSpan _period = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan _leavePatience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan _endPatience = TimeSpan.FromSeconds(20);
    private readonly GroupContext _group;
    private readonly CudaContext _context;
    private readonly CancellationTokenSource _ended;
    private readonly NcclJournal _journal;
    private readonly NcclDebugCheck? _debugCheck;
    private readonly NcclLane _collectives;
    private readonly ConcurrentDictionary<int, Lazy<NcclPair>> _pairs = new();
    private readonly Tensor _token;
    private readonly Thread _watch;
    private int _disposed;

    private NcclBackend(GroupContext group, CudaContext context)
    {
        _group = group;
        _context = context;
        _journal = new NcclJournal(group);
        _debugCheck = NcclDebugCheck.IsOn ? new NcclDebugCheck(group) : null;
        // Never disposed: a failure may be reported at any time, also while this rank leaves.
        _ended = new CancellationTokenSource();
        group.Health.OnFailure(Abort);
        _collectives = new NcclLane(group, group, context, _journal, _ended.Token);
        _collectives.Connect();
        _collectives.CatchUp();
        _token = zeros(1, ScalarType.Int32, new Device(DeviceType, context.DeviceIndex)).DetachFromDisposeScope();
        _watch = new Thread(Watch) { IsBackground = true, Name = $"nccl watchdog {group.Name}" };
        _watch.Start();
    }

    public override string Name => "nccl";

    public override DeviceType DeviceType => DeviceType.CUDA;

    public override int DeviceIndex => _context.DeviceIndex;

    /// <summary>Connects the members of a group; every one of them calls this, each for a GPU of its own.</summary>
    /// <exception cref="PlatformNotSupportedException">There is no NVIDIA driver, or no NCCL.</exception>
    /// <exception cref="DistributedException">The members did not come together.</exception>
    public static NcclBackend Create(GroupContext group, int deviceIndex)
    {
        var why = CudaDriver.WhyUnavailable ?? NcclLibrary.WhyUnavailable;
        if (why is not null) throw new PlatformNotSupportedException($"Rank {group.GlobalRank}: the nccl backend cannot be used here: {why}. On CPUs use the gloo backend.");
        return new NcclBackend(group, CudaContext.Of(deviceIndex));
    }

    public override CollectiveBackend CreateSubGroup(GroupContext context) => Create(context, _context.DeviceIndex);

    public override Work Submit(CollectiveCall call)
    {
        try
        {
            // What is refused here was started nowhere, and the group stays whole.
            ObjectDisposedException.ThrowIf(_disposed != 0, typeof(ProcessGroup));
            _group.Health.ThrowIfFailed(call);
            NcclLaunch.Validate(call);
            _debugCheck?.Compare(call);
        }
        catch
        {
            call.Release();
            throw;
        }

        return LaneOf(call).Submit(call, _token);
    }

    public override void Abort() => _ended.Cancel();

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        SpinWait.SpinUntil(() => _group.Health.Failure is not null || !Lanes().Any(lane => lane.IsBusy), _leavePatience);
        _ended.Cancel();
        // NCCL can get stuck in an abort; then what the GPU may still use is left to the end of the process.
        if (!_watch.Join(_endPatience)) return;
        _token.Dispose();
        foreach (var lane in Lanes()) lane.Free();
    }

    private IEnumerable<NcclLane> Lanes() => _pairs.Values.SelectMany(pair => pair.Value.Lanes).Prepend(_collectives);

    private NcclLane LaneOf(CollectiveCall call)
    {
        if (!call.IsPointToPoint) return _collectives;
        var pair = _pairs.GetOrAdd(call.Root, peer => new Lazy<NcclPair>(() => new NcclPair(_group.Rank, peer, NewLane, _token))).Value;
        return call.Kind == CollectiveKind.Send ? pair.Outgoing : pair.Incoming;
    }

    private NcclLane NewLane(int from, int to, Action connect) => new(_group, Direction(from, to), _context, _journal, _ended.Token, connect);

    private GroupContext Direction(int from, int to) => new()
    {
        Name = string.Create(CultureInfo.InvariantCulture, $"{_group.Name}/{from}to{to}"),
        Rank = from == _group.Rank ? 0 : 1,
        Ranks = [_group.Ranks[from], _group.Ranks[to]],
        Store = _group.Store,
        Timeout = _group.Timeout,
        Health = _group.Health,
    };

    /// <summary>
    /// Looks at every lane until the group ends, and then ends the communicators, so that nobody asks one that is being freed. The store's
    /// own troubles are the job monitor's to report.
    /// </summary>
    private void Watch()
    {
        while (!_ended.Token.WaitHandle.WaitOne(_period))
        {
            try
            {
                foreach (var lane in Lanes()) lane.Look();
            }
            catch (CudaException e)
            {
                _group.Health.Fail(new DistributedException($"{Messages.Where(_group.Health, null)}: cuda:{_context.DeviceIndex} failed: {e.Message}.", e) { Rank = _group.GlobalRank });
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // The store did not answer: PeerLost says so to everybody. Time-outs are still watched in the next round.
            }
        }

        var broken = IsBroken();
        foreach (var lane in Lanes()) lane.End(broken);
    }

    private bool IsBroken()
    {
        try
        {
            return _group.Health.Failure is not null || Lanes().Any(lane => lane.IsBusy);
        }
        catch (CudaException)
        {
            return true;
        }
    }
}
