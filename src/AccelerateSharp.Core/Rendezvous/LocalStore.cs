namespace AccelerateSharp.Rendezvous;

/// <summary>The store of a job with one worker: no server, no network, nobody to lose.</summary>
internal sealed class LocalStore : IRendezvousStore
{
    private readonly MemoryStore _store = new();

    public IReadOnlyList<int> LostRanks => [];

    public CancellationToken PeerLost => CancellationToken.None;

    public string? PeerLostReason => null;

    public void Set(string key, byte[] value) => _store.Set(Checked(key), value);

    public byte[]? TryGet(string key) => _store.TryGet(Checked(key));

    public byte[] Wait(string key, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _store.WaitAsync(Checked(key), timeout, cancellationToken).GetAwaiter().GetResult()
        ?? throw new TimeoutException($"Nobody wrote the key '{key}' within {timeout.TotalSeconds:0.###} s.");

    public long Add(string key, long amount) => _store.Add(Checked(key), amount);

    public bool CompareAndSet(string key, byte[]? expected, byte[] value) => _store.CompareAndSet(Checked(key), expected, value);

    public bool Delete(string key) => _store.Delete(Checked(key));

    public void Join(int rank)
    {
    }

    public void Dispose()
    {
    }

    private static string Checked(string key)
    {
        StoreLimits.CheckKey(key);
        return key;
    }
}
