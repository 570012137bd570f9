using System.Diagnostics;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>The native communicator of one group, from the meeting of its members to its end.</summary>
internal sealed class NcclCommunicator
{
    private static readonly TimeSpan _destroyPatience = TimeSpan.FromSeconds(10);
    private nint _handle;

    private NcclCommunicator(nint handle) => _handle = handle;

    /// <summary>The <c>ncclComm_t</c>; zero once aborted or destroyed.</summary>
    internal nint Handle => Volatile.Read(ref _handle);

    /// <summary>Meets the other members in the store and connects; returns when all have.</summary>
    /// <param name="group">The members.</param>
    /// <param name="context">This rank's GPU.</param>
    /// <param name="ended">The group has failed, or this rank leaves it: nobody waits for the connection any more.</param>
    /// <exception cref="DistributedException">Somebody did not come within the group's time-out, died on the way, or NCCL could not connect.</exception>
    internal static NcclCommunicator Create(GroupContext group, CudaContext context, CancellationToken ended)
    {
        var health = group.Health;
        var clock = Stopwatch.StartNew();
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(group.Store.PeerLost, ended);
        var id = Meet(group, clock, failed.Token);

        // NCCL offers no time-out here and only returns when everybody has connected. It gets a thread that may be left behind.
        nint handle = 0;
        Exception? error = null;
        using var done = new ManualResetEventSlim();
        var connected = done;
        var thread = new Thread(() =>
        {
            try
            {
                using var scope = context.Enter();
                var result = NcclNative.ncclCommInitRank(out handle, group.Size, id, group.Rank);
                if (result != NcclResult.Success) error = new NcclException(nameof(NcclNative.ncclCommInitRank), result, NcclLibrary.Describe(result, 0));
            }
            catch (Exception e)
            {
                error = e;
            }

            try
            {
                connected.Set();
            }
            catch (ObjectDisposedException)
            {
                // Nobody waits any more; the process is on its way out with the reason.
            }
        })
        { IsBackground = true, Name = $"nccl connect {group.Name}" };
        thread.Start();

        var inTime = false;
        try
        {
            inTime = done.Wait(Remaining(group, clock), failed.Token);
        }
        catch (OperationCanceledException)
        {
            throw Failure(group, null);
        }

        if (!inTime)
        {
            throw health.Fail(new CollectiveTimeoutException(
                $"Rank {group.GlobalRank}: every member of group '{group.Name}' arrived, but NCCL did not connect them within {group.Timeout.TotalSeconds:0.###} s. "
                + "Set NCCL_DEBUG=INFO to see where it stands; a firewall, or the wrong network interface (NCCL_SOCKET_IFNAME), is the usual cause.")
            { Rank = group.GlobalRank });
        }

        if (error is not null) throw Failure(group, error);
        return new NcclCommunicator(handle);
    }

    /// <summary>What went wrong in NCCL's own threads, if anything did; success on an ended communicator.</summary>
    internal NcclResult AsyncError()
    {
        var handle = Handle;
        if (handle == 0) return NcclResult.Success;
        var result = NcclNative.ncclCommGetAsyncError(handle, out var error);
        return result != NcclResult.Success ? result : error == NcclResult.InProgress ? NcclResult.Success : error;
    }

    /// <summary>Ends the kernels in flight and frees the communicator, without the peers. Nothing else may use it from now on.</summary>
    internal void Abort()
    {
        var handle = Interlocked.Exchange(ref _handle, 0);
        if (handle != 0) NcclNative.ncclCommAbort(handle);
    }

    /// <summary>Frees a communicator that has nothing in flight.</summary>
    internal void Destroy(CudaContext context)
    {
        var handle = Interlocked.Exchange(ref _handle, 0);
        if (handle == 0) return;
        // On a thread of its own, for NCCL may wait for peers that have ended already; leaving is not worth a hang.
        var thread = new Thread(() =>
        {
            using var scope = context.Enter();
            NcclNative.ncclCommDestroy(handle);
        })
        { IsBackground = true, Name = "nccl destroy" };
        thread.Start();
        thread.Join(_destroyPatience);
    }

    /// <summary>Rank 0's unique id, once every member is known to be there: NCCL itself could not say who is missing.</summary>
    private static NcclUniqueId Meet(GroupContext group, Stopwatch clock, CancellationToken failed)
    {
        try
        {
            if (group.Rank == 0)
            {
                NcclLibrary.Check(NcclNative.ncclGetUniqueId(out var made), nameof(NcclNative.ncclGetUniqueId));
                group.Store.Set(group.Key("nccl/id"), made.ToBytes());
            }

            group.Store.Set(group.Key($"nccl/here/{group.Rank}"), [1]);
            for (var rank = 0; rank < group.Size; rank++)
                group.Store.Wait(group.Key($"nccl/here/{rank}"), Remaining(group, clock), failed);
            return NcclUniqueId.FromBytes(group.Store.Wait(group.Key("nccl/id"), Remaining(group, clock), failed));
        }
        catch (TimeoutException)
        {
            var missing = Enumerable.Range(0, group.Size).Where(rank => group.Store.TryGet(group.Key($"nccl/here/{rank}")) is null).Select(rank => group.Ranks[rank]).ToArray();
            throw group.Health.Fail(new CollectiveTimeoutException(
                $"Rank {group.GlobalRank}: group '{group.Name}' did not come together within {group.Timeout.TotalSeconds:0.###} s; not arrived: {Messages.Ranks(missing)}. "
                + "Look at their output: they failed earlier, wait elsewhere, or create their groups in another order.")
            { Rank = group.GlobalRank, MissingRanks = missing });
        }
        catch (OperationCanceledException)
        {
            throw Failure(group, null);
        }
        catch (NcclException e)
        {
            throw Failure(group, e);
        }
    }

    private static DistributedException Failure(GroupContext group, Exception? error)
    {
        if (group.Health.Failure is { } known) return known.Copy();
        if (error is null) return group.Health.Resolve(Messages.PeerLost(group.Health, null, []));
        return group.Health.Fail(new DistributedException(
            $"Rank {group.GlobalRank}: NCCL could not connect group '{group.Name}': {error.Message}. Set NCCL_DEBUG=INFO for its own account.", error)
        { Rank = group.GlobalRank });
    }

    private static TimeSpan Remaining(GroupContext group, Stopwatch clock)
    {
        var left = group.Timeout - clock.Elapsed;
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
