namespace AccelerateSharp.Rendezvous;

/// <summary>The key-value store through which the workers of one job find each other.</summary>
/// <remarks>All calls are thread-safe. Keys are plain text; values are bytes, at most 16 MiB.</remarks>
internal interface IRendezvousStore : IDisposable
{
    /// <summary>Writes a value, replacing what was there.</summary>
    void Set(string key, byte[] value);

    /// <summary>Reads a value, or null where there is none.</summary>
    byte[]? TryGet(string key);

    /// <summary>Reads a value, waiting until somebody writes it.</summary>
    /// <exception cref="TimeoutException">Nobody wrote the key in time.</exception>
    byte[] Wait(string key, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Adds to a counter that starts at zero and returns the sum.</summary>
    long Add(string key, long amount);

    /// <summary>Writes a value only where the present one equals <paramref name="expected"/> (null: only where there is none).</summary>
    bool CompareAndSet(string key, byte[]? expected, byte[] value);

    /// <summary>Announces this rank as alive until this store is disposed or the process ends, however it ends.</summary>
    void Join(int rank);

    /// <summary>Ranks that had joined and are gone without leaving in good order.</summary>
    IReadOnlyList<int> LostRanks { get; }

    /// <summary>Cancelled as soon as <see cref="LostRanks"/> is not empty, or the store itself cannot be reached any more.</summary>
    CancellationToken PeerLost { get; }
}
