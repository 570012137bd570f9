using System.Globalization;

namespace AccelerateSharp.Rendezvous;

/// <summary>What workers do together through a store.</summary>
internal static class RendezvousStoreExtensions
{
    /// <summary>Returns when all ranks have arrived at the place of this name.</summary>
    /// <param name="store">The store.</param>
    /// <param name="name">A name that is used once.</param>
    /// <param name="rank">This worker's rank.</param>
    /// <param name="worldSize">The number of ranks that arrive.</param>
    /// <param name="timeout">How long to wait for the last one.</param>
    /// <exception cref="TimeoutException">Some did not arrive; the message names their ranks.</exception>
    /// <exception cref="RendezvousException">One was lost meanwhile.</exception>
    public static void WaitForAll(this IRendezvousStore store, string name, int rank, int worldSize, TimeSpan timeout)
    {
        store.Set(Arrival(name, rank), []);
        if (store.Add($"{name}/arrived", 1) == worldSize) store.Set($"{name}/all", []);
        try
        {
            store.Wait($"{name}/all", timeout, store.PeerLost);
        }
        catch (TimeoutException e)
        {
            var missing = Enumerable.Range(0, worldSize).Where(other => store.TryGet(Arrival(name, other)) is null).ToList();
            throw new TimeoutException(
                $"Rank {rank} waited {timeout.TotalSeconds:0.###} s at '{name}', but {Ranks(missing)} of {worldSize} did not arrive. "
                + "Check the output of those workers, and that all of them were started.", e);
        }
        catch (OperationCanceledException e) when (store.PeerLost.IsCancellationRequested)
        {
            throw new RendezvousException($"Rank {rank} waited at '{name}', but {store.PeerLostReason}.", e);
        }
    }

    private static string Arrival(string name, int rank) => string.Create(CultureInfo.InvariantCulture, $"{name}/{rank}");

    private static string Ranks(List<int> ranks) => (ranks.Count == 1 ? "rank " : "ranks ") + string.Join(", ", ranks);
}
