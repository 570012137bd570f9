using System.Diagnostics;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>The native connections of one group.</summary>
internal sealed unsafe class GlooContext : SafeHandle
{
    /// <summary>The longest time that opening one connection may take once its address is known.</summary>
    private static readonly TimeSpan _connectTimeout = TimeSpan.FromSeconds(60);

    private GlooContext() : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    public nint Pointer => handle;

    /// <summary>Opens this rank's sockets, exchanges addresses through the store and connects to every member.</summary>
    /// <exception cref="CollectiveTimeoutException">Members did not arrive in time.</exception>
    public static GlooContext Connect(GroupContext group, int stageBytes)
    {
        var context = new GlooContext();
        try
        {
            context.Open(group, stageBytes);
            return context;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    public void Abort()
    {
        var added = false;
        try
        {
            DangerousAddRef(ref added);
            GlooNative.asg_context_abort(handle);
        }
        catch (ObjectDisposedException)
        {
            // Closed already: nothing is pending.
        }
        finally
        {
            if (added) DangerousRelease();
        }
    }

    protected override bool ReleaseHandle()
    {
        GlooNative.asg_context_destroy(handle);
        return true;
    }

    private void Open(GroupContext group, int stageBytes)
    {
        nint native;
        var patience = group.Timeout < _connectTimeout ? group.Timeout : _connectTimeout;
        GlooNative.Check(GlooNative.asg_context_create(
            GlooDevice.Shared, group.Rank, group.Size, stageBytes, (long)patience.TotalMilliseconds, &native));
        SetHandle(native);
        if (group.Size == 1)
        {
            GlooNative.Check(GlooNative.asg_context_connect(handle, null));
            return;
        }
        var length = checked((int)GlooNative.asg_context_address_bytes(handle));
        var own = new byte[length];
        fixed (byte* p = own) GlooNative.Check(GlooNative.asg_context_address(handle, p));
        group.Store.Set(group.Key($"gloo/{group.Rank}"), own);

        var addresses = new byte[length * group.Size];
        var clock = Stopwatch.StartNew();
        for (var rank = 0; rank < group.Size; rank++)
        {
            var address = WaitForAddress(group, rank, clock);
            if (address.Length != length)
                throw new DistributedException($"Rank {group.Ranks[rank]} runs another version of AccelerateSharp or Gloo than rank {group.GlobalRank}. Use the same on all machines.");
            address.CopyTo(addresses, length * rank);
        }
        try
        {
            fixed (byte* p = addresses) GlooNative.Check(GlooNative.asg_context_connect(handle, p));
        }
        catch (GlooException e)
        {
            throw group.Health.Resolve(new PeerLostException(
                $"Rank {group.GlobalRank} cannot connect to rank {group.Ranks[e.Peer]} of group '{group.Name}': {e.Message}. "
                + "Look at that rank's output; on several machines check the firewall and GLOO_SOCKET_IFNAME.",
                e)
            {
                Rank = group.GlobalRank,
                MissingRanks = [group.Ranks[e.Peer]],
            }).Copy();
        }
    }

    private static byte[] WaitForAddress(GroupContext group, int rank, Stopwatch clock)
    {
        var left = group.Timeout - clock.Elapsed;
        try
        {
            return group.Store.Wait(group.Key($"gloo/{rank}"), left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1), group.Store.PeerLost);
        }
        catch (OperationCanceledException)
        {
            int[] lost = [.. group.Store.LostRanks.Where(group.Ranks.Contains).Order()];
            throw group.Health.Resolve(Messages.PeerLost(group.Health, null, lost)).Copy();
        }
        catch (TimeoutException e)
        {
            int[] missing = [.. Enumerable.Range(0, group.Size).Where(r => group.Store.TryGet(group.Key($"gloo/{r}")) is null).Select(r => group.Ranks[r])];
            throw new CollectiveTimeoutException(
                $"Rank {group.GlobalRank}: {Messages.Ranks(missing)} did not join group '{group.Name}' of {group.Size} within {group.Timeout.TotalSeconds:0.###} s. "
                + "Check that they were started and that WORLD_SIZE, MASTER_ADDR and MASTER_PORT are the same everywhere.",
                e)
            {
                Rank = group.GlobalRank,
                MissingRanks = missing,
            };
        }
    }
}
