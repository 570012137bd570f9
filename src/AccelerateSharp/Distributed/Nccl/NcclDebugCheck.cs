using System.Globalization;
using System.Text;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Compares every collective across the ranks before it starts: exact and immediate, at the price of a round trip through the store.</summary>
/// <remarks>On with <c>ACCELERATE_DEBUG_MODE=1</c>. Two slots for each rank suffice: nobody starts an operation before all came to the one before.</remarks>
internal sealed class NcclDebugCheck(GroupContext group)
{
    internal static bool IsOn => Environment.GetEnvironmentVariable("ACCELERATE_DEBUG_MODE")?.Trim().ToLowerInvariant() is "1" or "true" or "yes" or "on" or "y" or "t";

    /// <exception cref="CollectiveMismatchException">Another rank calls something else.</exception>
    /// <exception cref="CollectiveTimeoutException">Another rank did not come.</exception>
    internal void Compare(CollectiveCall call)
    {
        if (call.IsPointToPoint) return;
        var mine = call.Describe();
        var prefix = string.Create(CultureInfo.InvariantCulture, $"{call.SequenceNumber} ");
        group.Store.Set(Key(call, group.Rank), Encoding.UTF8.GetBytes(prefix + mine));
        var start = Environment.TickCount64;
        for (var rank = 0; rank < group.Size; rank++)
        {
            if (rank == group.Rank) continue;
            var spin = new SpinWait();
            string theirs;
            while (!(theirs = Read(call, rank)).StartsWith(prefix, StringComparison.Ordinal))
            {
                group.Health.ThrowIfFailed();
                if (Environment.TickCount64 - start > group.Timeout.TotalMilliseconds)
                    throw group.Health.Fail(Messages.Timeout(group.Health, call, [group.Ranks[rank]]));
                spin.SpinOnce();
            }

            if (NcclJournal.Differs(call, theirs[prefix.Length..])) throw group.Health.Fail(NcclJournal.Mismatch(group, call, rank, theirs[prefix.Length..]));
        }
    }

    private string Read(CollectiveCall call, int rank) => group.Store.TryGet(Key(call, rank)) is { } bytes ? Encoding.UTF8.GetString(bytes) : "";

    private string Key(CollectiveCall call, int rank) => group.Key($"nccl/check/{call.SequenceNumber % 2}/{rank}");
}
