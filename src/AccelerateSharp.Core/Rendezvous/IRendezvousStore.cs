namespace AccelerateSharp.Rendezvous;

/// <summary>The key-value store through which the workers of one job find each other.</summary>
/// <remarks>
/// All calls are thread-safe. Keys are plain text of at most 512 bytes; values are bytes, at most 16 MiB. Every call throws
/// <see cref="RendezvousException"/> when the store cannot be reached.
/// </remarks>
internal interface IRendezvousStore : IDisposable
{
    /// <summary>Writes a value, replacing what was there.</summary>
    void Set(string key, byte[] value);

    /// <summary>Reads a value, or null where there is none.</summary>
    byte[]? TryGet(string key);

    /// <summary>Reads a value, waiting until somebody writes it.</summary>
    /// <exception cref="TimeoutException">Nobody wrote the key in time.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    byte[] Wait(string key, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Adds to a counter that starts at zero and returns the sum.</summary>
    /// <remarks>A counter is a value like any other: its decimal digits as text.</remarks>
    /// <exception cref="InvalidOperationException">The key holds something else than a counter.</exception>
    long Add(string key, long amount);

    /// <summary>Writes a value only where the present one equals <paramref name="expected"/> (null: only where there is none).</summary>
    bool CompareAndSet(string key, byte[]? expected, byte[] value);

    /// <summary>Removes a value; false where there was none.</summary>
    bool Delete(string key);

    /// <summary>Announces this rank as alive until this store is disposed or the process ends, however it ends.</summary>
    /// <exception cref="RendezvousException">Another process has this rank already.</exception>
    void Join(int rank);

    /// <summary>Ranks that had joined and are gone without leaving in good order.</summary>
    IReadOnlyList<int> LostRanks { get; }

    /// <summary>Cancelled as soon as <see cref="LostRanks"/> is not empty, or the store itself cannot be reached any more.</summary>
    CancellationToken PeerLost { get; }

    /// <summary>Why <see cref="PeerLost"/> is cancelled, in a sentence; null while it is not.</summary>
    string? PeerLostReason { get; }
}
